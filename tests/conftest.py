"""Settings every test shares: offline, and shapes of annotated functions checked as they run."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from jaxtyping import install_import_hook

install_import_hook("redraft", "beartype.beartype")
