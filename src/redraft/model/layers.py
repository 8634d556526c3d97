"""Norms, rotary embedding and the gated MLP."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from redraft.config import LayerConfig
from redraft.kernels.suite import PLAIN, Kernels
from redraft.shapes import Float, Tensor

_POSITIONS_PER_BLOCK = 1024


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis, computed in fp32; the weight is plain (it starts at 1, not at 0)."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Float[Tensor, "*rows D"], kernels: Kernels = PLAIN) -> Float[Tensor, "*rows D"]:
        return kernels.norm(x, self.weight, self.eps)

    def onto(
        self, base: Float[Tensor, "*rows D"], x: Float[Tensor, "*rows D"], kernels: Kernels = PLAIN
    ) -> Float[Tensor, "*rows D"]:
        """base plus the normalised x, in one pass."""
        return kernels.add_norm(base, x, self.weight, self.eps)


class GatedMLP(nn.Module):
    """down(gelu(gate(x)) * up(x)) with the tanh form of GELU; gate and up are one product."""

    def __init__(self, size: int, hidden_size: int):
        super().__init__()
        self.gate_up = nn.Linear(size, 2 * hidden_size, bias=False)
        self.down = nn.Linear(hidden_size, size, bias=False)

    def forward(self, x: Float[Tensor, "T D"], kernels: Kernels = PLAIN) -> Float[Tensor, "T D"]:
        return self.down(kernels.gated(self.gate_up(x)))


def rotary_frequencies(layer: LayerConfig) -> Float[Tensor, "h"]:
    """Angle per position of each of the H/2 rotary pairs, fp32 on CPU.

    The exponent runs over the whole head ("proportional"): theta ** (-2j / H) for the turning pairs, 0 for the rest.
    """
    num_turning = int(layer.rope_fraction * layer.head_dim // 2)
    exponents = torch.arange(0, 2 * num_turning, 2, dtype=torch.float32, device="cpu") / layer.head_dim
    return F.pad(1.0 / layer.rope_theta**exponents, (0, layer.head_dim // 2 - num_turning))


class Rotary(nn.Module):
    """Cosines and sines by position, one table per kind of layer (head size, theta and share of turning pairs).

    A table is made once and grows with the longest text seen.
    """

    def __init__(self, layers: tuple[LayerConfig, ...]):
        super().__init__()
        kinds = [(layer.head_dim, layer.rope_theta, layer.rope_fraction) for layer in layers]
        by_kind = dict(zip(kinds, layers, strict=True))
        self.kind_of_layer = [list(by_kind).index(kind) for kind in kinds]
        self._layers = list(by_kind.values())
        self._tables: list[Tensor] = []  # [positions, 2, H] each: no buffers, so that no cast of the model rounds them

    def forward(
        self, positions: Sequence[range], device: torch.device, dtype: torch.dtype
    ) -> list[Float[Tensor, "T 2 H"]]:
        """Per kind of layer the rows that `kernels.rows.rotate` takes: cosines and signed sines of all positions."""
        self._grow(max(each.stop for each in positions), device, dtype)
        return [
            table[positions[0].start : positions[0].stop]
            if len(positions) == 1
            else torch.cat([table[each.start : each.stop] for each in positions])
            for table in self._tables
        ]

    @torch.inference_mode(False)
    def _grow(self, num_positions: int, device: torch.device, dtype: torch.dtype) -> None:
        """Tables of at least so many positions. Made block by block: a row is the same in a table of any size."""
        held = self._tables[0] if self._tables else None
        if held is None or held.device != device or held.dtype != dtype:
            self._tables = [torch.empty(0, 2, layer.head_dim, device=device, dtype=dtype) for layer in self._layers]
        num_held = len(self._tables[0])
        if num_held >= num_positions:
            return
        num_wanted = max(num_positions, 2 * num_held)
        starts = range(num_held, num_wanted, _POSITIONS_PER_BLOCK)
        self._tables = [
            torch.cat([table, *(_rotary_block(layer, start, device).to(dtype) for start in starts)])
            for layer, table in zip(self._layers, self._tables, strict=True)
        ]


def _rotary_block(layer: LayerConfig, start: int, device: torch.device) -> Float[Tensor, "positions 2 H"]:
    """Cosines and signed sines of the positions from `start` on; angles are computed in fp32."""
    positions = torch.arange(start, start + _POSITIONS_PER_BLOCK, device=device, dtype=torch.float32)
    angles = positions[:, None] * rotary_frequencies(layer).to(device)
    cosines, sines = angles.cos(), angles.sin()
    return torch.stack((torch.cat((cosines, cosines), dim=-1), torch.cat((-sines, sines), dim=-1)), dim=1)
