"""Does a model fit a machine: bytes of its weights, of its cache, of one denoising step, without loading it."""

from dataclasses import dataclass

import torch

from redraft.checkpoint.config import read_config
from redraft.checkpoint.fetch import resolve
from redraft.config import PREFILL_CHUNK, LayerConfig, ModelConfig
from redraft.model.transformer import DiffusionTransformer

RELEASED = "google/diffusiongemma-26B-A4B-it"
DTYPES = {"bfloat16": 2, "float32": 4}  # bytes of a number
# A step holds about this many fp32 arrays of the canvas over the vocabulary at once (logits, probabilities, their logs
# and sums). An estimate: what a run takes is in the report of `redraft bench`.
_ARRAYS_PER_STEP = 6


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What one precision would take, in bytes, and the context that is left room for (tokens; 0: it does not fit)."""

    dtype: str
    weights: int
    cache_per_token: int  # in full layers
    cache_of_window: int  # in sliding layers, of one request
    working: int  # estimate, one request
    context: int

    @property
    def fits(self) -> bool:
        return self.context > 0


def config_of(model: str) -> ModelConfig:
    """A model's config; of a hub id only that file is fetched, and of the released 26B not even it."""
    if model.partition("@")[0] == RELEASED:
        return released_config()
    return read_config(resolve(model, only=("config.json",)))


def num_parameters(config: ModelConfig) -> int:
    """Parameters of the text model; the image tower is skipped at load and not counted."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in DiffusionTransformer(config).parameters())


def fit(config: ModelConfig, memory: int, dtype: str) -> Fit:
    """How a model in `dtype` sits in `memory` bytes.

    The context is rounded down to whole canvases; at least a canvas of prompt and a canvas of reply must fit.
    """
    size = DTYPES[dtype]
    weights = num_parameters(config) * size
    full, sliding = (
        sum(2 * layer.num_kv_heads * layer.head_dim for layer in config.layers if layer.is_sliding == kind) * size
        for kind in (False, True)
    )
    working = _ARRAYS_PER_STEP * 4 * config.canvas_length * config.vocab_size
    room = max(0, memory - weights - working)
    # Sliding layers hold a window and what one pass adds, whatever the context.
    most_sliding = config.sliding_window + max(PREFILL_CHUNK, 2 * config.canvas_length)
    tokens = room // (full + sliding)
    if tokens > most_sliding:
        tokens = (room - most_sliding * sliding) // full
    context = min(tokens, config.max_position_embeddings) // config.canvas_length * config.canvas_length
    return Fit(
        dtype=dtype,
        weights=weights,
        cache_per_token=full,
        cache_of_window=most_sliding * sliding,
        working=working,
        context=context if context >= 2 * config.canvas_length else 0,
    )


def released_config() -> ModelConfig:
    """The published config of the 26B, so that the question needs neither a download nor a network."""
    sliding = LayerConfig(
        is_sliding=True, num_kv_heads=8, head_dim=256, shares_kv=False, rope_theta=10_000.0, rope_fraction=1.0
    )
    full = LayerConfig(
        is_sliding=False, num_kv_heads=2, head_dim=512, shares_kv=True, rope_theta=1_000_000.0, rope_fraction=0.25
    )
    return ModelConfig(
        vocab_size=262_144,
        hidden_size=2816,
        intermediate_size=2112,
        moe_intermediate_size=704,
        num_experts=128,
        num_experts_per_token=8,
        num_heads=16,
        layers=tuple(full if i % 6 == 5 else sliding for i in range(30)),
        sliding_window=1024,
        rms_norm_eps=1e-6,
        logit_softcap=30.0,
        canvas_length=256,
        max_position_embeddings=262_144,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_ids=(1, 106, 50),
    )
