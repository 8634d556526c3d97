"""Router, experts, combine."""

from typing import NamedTuple

import torch
from torch import nn

from redraft.config import ModelConfig
from redraft.kernels.suite import PLAIN, Kernels
from redraft.shapes import Float, Int, Tensor


class Routing(NamedTuple):
    """Where one layer's router sent its rows; what a balance loss needs."""

    probabilities: Float[Tensor, "T E"]  # fp32, over all experts
    expert_ids: Int[Tensor, "T K"]
    weights: Float[Tensor, "T K"]  # renormalised over the K chosen, times the expert's own scale


class Router(nn.Module):
    """Chooses K experts per row from the residual stream, normalised without weight, times its own scale / sqrt(D)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.num_chosen = config.num_experts_per_token
        self.scale = nn.Parameter(torch.ones(config.hidden_size))
        self.expert_scale = nn.Parameter(torch.ones(config.num_experts))
        self.proj = nn.Linear(config.hidden_size, config.num_experts, bias=False)

    def forward(self, unit: Float[Tensor, "T D"], kernels: Kernels = PLAIN) -> Routing:
        """Softmax over all experts in fp32, the K largest made to sum to 1, then each expert's own scale."""
        scores = self.proj(unit * (self.scale * unit.shape[-1] ** -0.5))
        return Routing(*kernels.route(scores, self.expert_scale, self.num_chosen))


class MixtureOfExperts(nn.Module):
    """The weighted sum of the K chosen experts, each a gated MLP."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        E, F_, D = config.num_experts, config.moe_intermediate_size, config.hidden_size
        self.router = Router(config)
        self.gate_up = nn.Parameter(torch.empty(E, 2 * F_, D))
        self.down = nn.Parameter(torch.empty(E, F_, D))

    def forward(
        self, x: Float[Tensor, "T D"], unit: Float[Tensor, "T D"], kernels: Kernels = PLAIN
    ) -> tuple[Float[Tensor, "T D"], Routing]:
        """The experts read x, the router reads the residual stream, both normalised: `unit` is it without a weight."""
        routing = self.router(unit, kernels)
        return kernels.experts(x, routing.expert_ids, routing.weights, self.gate_up, self.down), routing
