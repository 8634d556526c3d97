"""Settings every test shares: offline, and shapes of annotated functions checked as they run."""

import os
from collections.abc import Callable

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# How long an example takes to draw says how busy the machine is, not what is wrong.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

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


@pytest.fixture(scope="session")
def make_config() -> Callable:
    """A function that makes a small ModelConfig: sliding, full and again, window 8; keyword arguments change fields."""
    from redraft.config import LayerConfig, ModelConfig

    sliding = LayerConfig(
        is_sliding=True, num_kv_heads=2, head_dim=8, shares_kv=False, rope_theta=1e4, rope_fraction=1.0
    )
    full = LayerConfig(
        is_sliding=False, num_kv_heads=1, head_dim=16, shares_kv=True, rope_theta=1e6, rope_fraction=0.25
    )
    values = {
        "vocab_size": 61,
        "hidden_size": 32,
        "intermediate_size": 40,
        "moe_intermediate_size": 24,
        "num_experts": 4,
        "num_experts_per_token": 2,
        "num_heads": 4,
        "layers": (sliding, full, sliding, full),
        "sliding_window": 8,
        "rms_norm_eps": 1e-6,
        "logit_softcap": 30.0,
        "canvas_length": 12,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_ids": (1,),
    }
    return lambda **changes: ModelConfig(**{**values, **changes})


@pytest.fixture(scope="session")
def make_model(make_config) -> Callable:
    """A function that makes a random model for inference, with norms, scales and layer scalars away from 1."""
    import torch

    from redraft.model.transformer import random_model

    def make(seed: int = 0, **changes):
        model = random_model(make_config(**changes), seed)
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            if parameter.ndim < 2:
                parameter.data += 0.3 * (torch.rand(parameter.shape, generator=generator) - 0.5)
        return model.eval().requires_grad_(False)

    return make


@pytest.fixture(scope="module")  # no longer: while it lives, a test cannot run an event loop of its own
def browser():
    """A headless Chromium; tests that want it are skipped, and say so, where there is none."""
    import shutil

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("want chromium: apt-get install chromium")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as api:
        browser = api.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()
