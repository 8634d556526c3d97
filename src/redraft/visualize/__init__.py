"""Draws the records of a run; computes nothing."""
