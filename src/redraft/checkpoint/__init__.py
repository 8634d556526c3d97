"""Checkpoints in the published layout: names, configs, loading, saving, fetching."""
