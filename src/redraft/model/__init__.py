"""The network: one packed stack in two roles, causal encoder and canvas denoiser."""
