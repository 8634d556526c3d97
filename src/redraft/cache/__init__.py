"""The KV cache: who owns which slots, and the view that attention reads."""
