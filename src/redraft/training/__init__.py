"""Data, objective and loop that make the shipped models."""
