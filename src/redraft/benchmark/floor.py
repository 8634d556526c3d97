"""The floor of a denoising step: the bare matrix products of its shapes, timed, with nothing around them."""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F

from redraft.config import LayerConfig, ModelConfig

Product = Callable[[], object]


def products(
    config: ModelConfig, num_rows: int, context: int, dtype: torch.dtype, device: torch.device
) -> dict[str, list[Product]]:
    """The products of one denoising step over `num_rows` canvas rows that read `context` cached tokens, by component.

    Projections, both of attention's own products, dense MLPs (that of self-conditioning too), experts (rows spread
    evenly), head, soft embedding. Operands are random, each product has its own weights, so caches are no warmer than
    in a model.
    """

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=device, dtype=dtype)

    def dense(rows: int, size_in: int, size_out: int) -> Product:
        x, weight = random(rows, size_in), random(size_out, size_in)
        return lambda: F.linear(x, weight)

    def batched(left: torch.Tensor, right: torch.Tensor) -> Product:
        return lambda: torch.matmul(left, right)

    D, C, S, N = config.hidden_size, num_rows, context + num_rows, config.num_heads
    hidden, expert_hidden, E = config.intermediate_size, config.moe_intermediate_size, config.num_experts
    rows = max(1, C * config.num_experts_per_token // E)

    def projections(layer: LayerConfig) -> list[Product]:
        num_projected = N + (1 if layer.shares_kv else 2) * layer.num_kv_heads
        return [dense(C, D, num_projected * layer.head_dim), dense(C, N * layer.head_dim, D)]

    def attention(layer: LayerConfig) -> list[Product]:
        H = layer.head_dim
        return [batched(random(N, C, H), random(N, H, S)), batched(random(N, C, S), random(N, S, H))]

    def experts(layer: LayerConfig) -> list[Product]:
        up = batched(random(E, rows, D), random(E, D, 2 * expert_hidden))
        return [up, batched(random(E, rows, expert_hidden), random(E, expert_hidden, D))]

    def mlp() -> list[Product]:
        return [dense(C, D, 2 * hidden), dense(C, hidden, D)]

    table, x, weights = random(config.vocab_size, D), random(C, D), random(C, config.vocab_size)
    return {
        "projections": [product for layer in config.layers for product in projections(layer)],
        "attention": [product for layer in config.layers for product in attention(layer)],
        "dense MLPs": [product for _ in range(config.num_layers + 1) for product in mlp()],
        "experts": [product for layer in config.layers for product in experts(layer)],
        "head": [lambda: F.linear(x, table)],
        "soft embedding": [lambda: weights @ table],
    }


def run_products(listed: Mapping[str, Sequence[Product]]) -> dict[str, float]:
    """Seconds of one pass over the products, by component."""
    return {component: _seconds(some) for component, some in listed.items()}


def _seconds(listed: Sequence[Product]) -> float:
    _finish()
    start = time.perf_counter()
    for product in listed:
        product()
    _finish()
    return time.perf_counter() - start


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
