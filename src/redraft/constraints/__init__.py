"""Regular languages over token sequences, and exact conditioning on them."""
