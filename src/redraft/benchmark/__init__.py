"""Speed and memory, all sides in one run."""
