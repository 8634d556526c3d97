"""One make of everything that a forward computes besides its dense products: plain torch, or native code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch

from redraft.kernels import moe, rows
from redraft.kernels.attention import attend_fused
from redraft.kernels.statistics import Statistics, token_statistics
from redraft.shapes import Float, Int, Tensor


@runtime_checkable
class FusedLayer(Protocol):
    """A whole layer but for its attention, in two calls; its rows need no padding. Made by `Kernels.fuse`."""

    def before(
        self, x: Float[Tensor, "T D"], turns: Float[Tensor, "T 2 H"]
    ) -> tuple[Float[Tensor, "T N H"], Float[Tensor, "T G H"], Float[Tensor, "T G H"]]:
        """Queries, keys and values of the rows that enter the layer."""
        ...

    def after(
        self, x: Float[Tensor, "T D"], attended: Float[Tensor, "T NH"], scales: Tensor, has_scales: bool
    ) -> tuple[Float[Tensor, "T D"], Float[Tensor, "T E"], Int[Tensor, "T K"], Float[Tensor, "T K"]]:
        """The rows that leave it, times their scale (one for all, or `has_scales`: one each), and their routing."""
        ...


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
    # From a layer's parameters by name and the keywords of its shape; they are laid out anew in memory, in place.
    fuse: Callable[..., FusedLayer] | None = None
    fuse_up_to: Mapping[torch.dtype, int] = field(default_factory=dict)  # bytes of a layer's weights

    def can_fuse(self, weights: Mapping[str, Tensor]) -> bool:
        """Whether a layer of these weights gains by being fused."""
        most = self.fuse_up_to.get(next(iter(weights.values())).dtype, 0)
        return self.fuse is not None and sum(weight.nbytes for weight in weights.values()) <= most


PLAIN = Kernels(name="plain torch")
