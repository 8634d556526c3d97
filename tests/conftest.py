"""Settings every test shares: offline, and shapes of annotated functions checked as they run."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from jaxtyping import install_import_hook

# Where tensors are. Not where users' values arrive: there our own refusal is what tests want to see.
_WITH_TENSORS = ("kernels", "model", "cache", "diffusion", "constraints.inference", "training")
_OF_ENGINE = ("batch", "families", "model_state", "output", "request", "runner")
install_import_hook(
    [
        *(f"redraft.{package}" for package in _WITH_TENSORS),
        *(f"redraft.engine.{module}" for module in _OF_ENGINE),
    ],
    "beartype.beartype",
)
