"""Optimisers of a run behind one small config, and the learning rate as a function of the update's number."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from redraft.shapes import Float, Tensor


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW, or Muon for the matrices inside layers with AdamW for the rest."""

    peak_lr: float = 2e-3
    warmup: int = 100  # updates
    decay: int = 0  # updates of linear decay to zero, after which the run is over; 0: constant without end
    decay_from: int = 0  # the update the decay starts at
    weight_decay: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    muon: bool = False
    muon_momentum: float = 0.95
    vector_share: float = 0.3  # with Muon: AdamW's rate as a share of Muon's; at 1 the norms and scalars overshoot

    def lr(self, update: int) -> float:
        """Warm-up, constant, then (if asked for) linear decay: one can stop anywhere and decay from there."""
        lr = self.peak_lr * min(1.0, (update + 1) / self.warmup)
        if self.decay and update >= self.decay_from:
            lr *= max(0.0, 1 - (update - self.decay_from) / self.decay)
        return lr


def orthogonalise(matrices: Float[Tensor, "*n R S"]) -> Float[Tensor, "*n R S"]:
    """U V^T of each matrix's singular value decomposition U S V^T, roughly (singular values 0.7 to 1.2).

    Five Newton-Schulz iterations of degree five, with coefficients tuned for speed rather than convergence
    (Keller Jordan, "Muon", 2024). Batched over leading axes.
    """
    x = matrices if matrices.shape[-2] <= matrices.shape[-1] else matrices.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if matrices.shape[-2] <= matrices.shape[-1] else x.mT


class Muon(torch.optim.Optimizer):
    """Momentum, then each matrix's update orthogonalised and scaled to the size of an AdamW update (0.2 per entry).

    Parameters [..., R, S]: leading axes are separate matrices.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float):
        super().__init__(params, {"lr": lr, "share": 1.0, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        assert closure is None, "a closure is not supported"
        for group in self.param_groups:
            for parameter in group["params"]:
                self._update(parameter, group)

    def _update(self, parameter: nn.Parameter, group: dict) -> None:
        if parameter.grad is None:
            return
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        ahead = parameter.grad.lerp(state["momentum"], group["momentum"])
        scale = 0.2 * max(parameter.shape[-2:]) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(orthogonalise(ahead), alpha=-group["lr"] * scale)


def make_optimizers(model: nn.Module, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """The optimisers of what a model trains. Before each update every group's rate is set to `lr` times its "share"."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_inner = parameter.ndim >= 2 and "embedding" not in name and "router" not in name
        (matrices if config.muon and is_inner else others).append(parameter)
    decayed = [p for p in others if p.ndim >= 2]
    scalars = [p for p in others if p.ndim < 2]
    groups = [
        {"params": params, "weight_decay": decay}
        for params, decay in ((decayed, config.weight_decay), (scalars, 0.0))
        if params
    ]
    for group in groups:
        group["share"] = config.vector_share if config.muon else 1.0
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, config.peak_lr, config.betas, fused=True)]
    if matrices:
        optimizers.append(Muon(matrices, config.peak_lr, config.muon_momentum, config.weight_decay))
    return optimizers
