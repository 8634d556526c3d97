"""Requests, batches and the hub that steps them."""
