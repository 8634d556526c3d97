"""What is done to each row between the products, in plain torch.

The native versions behind the same signatures are in csrc/rows.cpp.
"""

import torch
import torch.nn.functional as F

from redraft.shapes import Float, Int, Tensor


def norm(x: Float[Tensor, "*rows D"], weight: Float[Tensor, "D"] | None, eps: float) -> Float[Tensor, "*rows D"]:
    """x / rms(x) over the last axis, computed in fp32; times the weight, if there is one."""
    unit = unit_rms(x, eps)
    return unit if weight is None else unit * weight


def add_norm(
    base: Float[Tensor, "*rows D"], x: Float[Tensor, "*rows D"], weight: Float[Tensor, "D"], eps: float
) -> Float[Tensor, "*rows D"]:
    """base plus the normalised x."""
    return torch.addcmul(base, unit_rms(x, eps), weight)


def heads(
    projected: Float[Tensor, "T _"],
    query_scale: Float[Tensor, "H"],
    key_scale: Float[Tensor, "H"],
    turns: Float[Tensor, "T 2 H"],
    eps: float,
    num_queries: int,
    num_kv: int,
    shares_kv: bool,
) -> tuple[Float[Tensor, "T N H"], Float[Tensor, "T G H"], Float[Tensor, "T G H"]]:
    """Queries, keys and values of rows that hold the heads of each, in this order.

    All are normalised; queries and keys are scaled, then turned (see `rotate`). Where keys and values share their
    heads, a value is the head before scale and turn.
    """
    N, G, H = num_queries, num_kv, query_scale.shape[0]
    unit = unit_rms(projected.view(projected.shape[0], -1, H), eps)
    turning, values = (unit, unit[:, N:]) if shares_kv else unit.split([N + G, G], dim=1)
    scales = torch.cat((query_scale.expand(N, H), key_scale.expand(G, H)))
    queries, keys = rotate(turning * scales, turns).split([N, G], dim=1)
    return queries, keys, values


def rotate(x: Float[Tensor, "T heads H"], turns: Float[Tensor, "T 2 H"]) -> Float[Tensor, "T heads H"]:
    """x with each pair (i, i + H/2) turned by its row's angle; `turns` holds its cosines and its signed sines."""
    cosines, signed_sines = turns.split(1, dim=1)
    return torch.addcmul(x * cosines, x.roll(x.shape[-1] // 2, dims=-1), signed_sines)


def gated(gate_up: Float[Tensor, "T F2"]) -> Float[Tensor, "T F"]:
    """gelu(gate) * up with the tanh form of GELU; the gate is the first half."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.gelu(gate, approximate="tanh") * up


def softcap(scores: Float[Tensor, "R V"], cap: float) -> Float[Tensor, "R V"]:
    """cap * tanh(scores / cap) in fp32. fp32 scores are overwritten: this is the largest tensor of a forward."""
    return scores.float().div_(cap).tanh_() * cap


def route(
    scores: Float[Tensor, "T E"], expert_scale: Float[Tensor, "E"], num_chosen: int
) -> tuple[Float[Tensor, "T E"], Int[Tensor, "T K"], Float[Tensor, "T K"]]:
    """Softmax in fp32 over all experts, the K largest, and their weights: made to sum to 1, times the expert's scale.

    Which of equal experts end the list of K is left to the make; the native one takes the lowest ids.
    """
    probabilities = torch.softmax(scores, dim=-1, dtype=torch.float32)
    weights, expert_ids = probabilities.topk(num_chosen, dim=-1)
    weights = weights / weights.sum(dim=-1, keepdim=True) * expert_scale[expert_ids]
    return probabilities, expert_ids, weights.to(scores.dtype)


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
