"""The sampler as values: schedule, prediction, accept, renoise, stop, commit."""
