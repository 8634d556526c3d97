"""HTTP dialects over the engine."""
