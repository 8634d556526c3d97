"""Norms, rotary embedding and the gated MLP."""

import torch
import torch.nn.functional as F
from torch import nn

from redraft.config import LayerConfig
from redraft.shapes import Float, Int, Tensor


def unit_rms(x: Float[Tensor, "*rows D"], eps: float) -> Float[Tensor, "*rows D"]:
    """x / rms(x) over the last axis, computed in fp32."""
    if x.requires_grad and x.dtype == torch.float32 and x.device.type == "cpu":
        return _UnitRMS.apply(x, eps)
    return F.rms_norm(x, x.shape[-1:], None, eps)


class _UnitRMS(torch.autograd.Function):
    """The same with a gradient of its own: torch's takes over twice the time on a CPU, where it is not one kernel."""

    @staticmethod
    def forward(ctx, x, eps):
        inverse = torch.linalg.vecdot(x, x).unsqueeze(-1).div_(x.shape[-1]).add_(eps).rsqrt_()
        unit = x * inverse
        ctx.save_for_backward(unit, inverse)
        return unit

    @staticmethod
    def backward(ctx, gradient):
        unit, inverse = ctx.saved_tensors
        along = torch.linalg.vecdot(gradient, unit).unsqueeze(-1).div_(-unit.shape[-1])
        return torch.addcmul(gradient, unit, along).mul_(inverse), None


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis, computed in fp32; the weight is plain (it starts at 1, not at 0)."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        return unit_rms(x, self.eps) * self.weight

    def onto(self, base: Float[Tensor, "*rows D"], x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        """base plus the normalised x, in one pass."""
        return torch.addcmul(base, unit_rms(x, self.eps), self.weight)


class GatedMLP(nn.Module):
    """down(gelu(gate(x)) * up(x)) with the tanh form of GELU; gate and up are one product."""

    def __init__(self, size: int, hidden_size: int):
        super().__init__()
        self.gate_up = nn.Linear(size, 2 * hidden_size, bias=False)
        self.down = nn.Linear(hidden_size, size, bias=False)

    def forward(self, x: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.gelu(gate, approximate="tanh") * up)


def rotary_frequencies(layer: LayerConfig) -> Float[Tensor, "h"]:
    """Angle per position of each of the H/2 rotary pairs, fp32 on CPU.

    The exponent runs over the whole head ("proportional"): theta ** (-2j / H) for the turning pairs, 0 for the rest.
    """
    num_turning = int(layer.rope_fraction * layer.head_dim // 2)
    exponents = torch.arange(0, 2 * num_turning, 2, dtype=torch.float32, device="cpu") / layer.head_dim
    return F.pad(1.0 / layer.rope_theta**exponents, (0, layer.head_dim // 2 - num_turning))


class Rotary(nn.Module):
    """Cosine and sine tables of a forward, one pair per kind of layer (head size, theta and share of turning pairs)."""

    def __init__(self, layers: tuple[LayerConfig, ...]):
        super().__init__()
        kinds = [(layer.head_dim, layer.rope_theta, layer.rope_fraction) for layer in layers]
        by_kind = dict(zip(kinds, layers, strict=True))
        self.kind_of_layer = [list(by_kind).index(kind) for kind in kinds]
        self._layers = list(by_kind.values())
        self._frequencies: Tensor | None = (
            None  # a constant made on first use: no buffer, so no cast of the model rounds it
        )

    def forward(self, positions: Int[Tensor, "T"], dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """Per kind of layer the tables `rotate` takes, [T, 1, H] each, in `dtype`; angles are computed in fp32."""
        if self._frequencies is None or self._frequencies.device != positions.device:
            self._frequencies = torch.cat([rotary_frequencies(layer) for layer in self._layers]).to(positions.device)
        angles = positions[:, None, None].float() * self._frequencies
        cosines, sines = angles.cos().to(dtype), angles.sin().to(dtype)
        sizes = [layer.head_dim // 2 for layer in self._layers]
        return [
            (torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1))
            for cos, sin in zip(cosines.split(sizes, dim=-1), sines.split(sizes, dim=-1), strict=True)
        ]


def rotate(
    x: Float[Tensor, "T heads H"], cosines: Float[Tensor, "T 1 H"], signed_sines: Float[Tensor, "T 1 H"]
) -> Float[Tensor, "T heads H"]:
    """x with each pair (i, i + H/2) turned by its row's angle."""
    return torch.addcmul(x * cosines, x.roll(x.shape[-1] // 2, dims=-1), signed_sines)
