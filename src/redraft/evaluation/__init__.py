"""Tasks, graders and results files."""
