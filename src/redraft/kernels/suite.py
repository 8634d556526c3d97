"""One make of everything that a forward computes besides its dense products: plain torch, or native code."""

from collections.abc import Callable
from dataclasses import dataclass

from redraft.kernels import moe, rows
from redraft.kernels.attention import attend_fused
from redraft.kernels.statistics import Statistics, token_statistics
from redraft.shapes import Tensor


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """Functions behind the signatures of the plain versions, which document them. A model holds one such suite.

    A row's result depends on that row only, whichever the make; between makes the last bits differ.
    """

    name: str
    norm: Callable[..., Tensor] = rows.norm
    add_norm: Callable[..., Tensor] = rows.add_norm
    heads: Callable[..., tuple[Tensor, Tensor, Tensor]] = rows.heads
    gated: Callable[[Tensor], Tensor] = rows.gated
    softcap: Callable[[Tensor, float], Tensor] = rows.softcap
    route: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor, Tensor]] = rows.route
    attend: Callable[..., Tensor] = attend_fused
    experts: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor] = moe.experts
    lay_out: Callable[[Tensor], Tensor] = lambda gate_up: gate_up  # how `experts` wants the weights in memory
    statistics: Callable[..., Statistics] = token_statistics


PLAIN = Kernels(name="plain torch")
