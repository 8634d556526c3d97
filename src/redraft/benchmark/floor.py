"""The floor of a denoising step: the bare matrix products of its shapes, timed, with nothing around them."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from redraft.config import LayerConfig, ModelConfig

Product = Callable[[], object]


def products(
    config: ModelConfig, num_rows: int, context: int, dtype: torch.dtype, device: torch.device
) -> list[Product]:
    """The products of one denoising step over `num_rows` canvas rows that read `context` cached tokens.

    Projections, both of attention's own products, dense MLPs, experts (rows spread evenly), head, soft embedding and
    self-conditioning. Operands are random, each product has its own weights, so caches are no warmer than in a model.
    """

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=device, dtype=dtype)

    def dense(rows: int, size_in: int, size_out: int) -> Product:
        x, weight = random(rows, size_in), random(size_out, size_in)
        return lambda: F.linear(x, weight)

    def batched(left: torch.Tensor, right: torch.Tensor) -> Product:
        return lambda: torch.matmul(left, right)

    D, C, S = config.hidden_size, num_rows, context + num_rows
    hidden, expert_hidden, E = config.intermediate_size, config.moe_intermediate_size, config.num_experts
    rows = max(1, C * config.num_experts_per_token // E)

    def mlp() -> list[Product]:
        return [dense(C, D, 2 * hidden), dense(C, hidden, D)]

    def layer_products(layer: LayerConfig) -> list[Product]:
        N, H = config.num_heads, layer.head_dim
        num_projected = N + (1 if layer.shares_kv else 2) * layer.num_kv_heads
        return [
            dense(C, D, num_projected * H),
            batched(random(N, C, H), random(N, H, S)),
            batched(random(N, C, S), random(N, S, H)),
            dense(C, N * H, D),
            *mlp(),
            batched(random(E, rows, D), random(E, D, 2 * expert_hidden)),
            batched(random(E, rows, expert_hidden), random(E, expert_hidden, D)),
        ]

    table, x, weights = random(config.vocab_size, D), random(C, D), random(C, config.vocab_size)
    ends: list[Product] = [lambda: F.linear(x, table), lambda: weights @ table, *mlp()]
    return [product for layer in config.layers for product in layer_products(layer)] + ends


def run_products(listed: list[Product]) -> float:
    """Seconds of one pass over the products."""
    _finish()
    start = time.perf_counter()
    for product in listed:
        product()
    _finish()
    return time.perf_counter() - start


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
