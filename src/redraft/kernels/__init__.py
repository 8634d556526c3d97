"""Numerical kernels: a plain-torch reference beside each faster version."""
