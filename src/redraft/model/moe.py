"""Router, experts, combine."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from redraft.config import ModelConfig
from redraft.kernels.moe import experts_dense, experts_plain
from redraft.shapes import Float, Int, Tensor


class Routing(NamedTuple):
    """Where one layer's router sent its rows; what a balance loss needs."""

    probabilities: Float[Tensor, "T E"]  # fp32, over all experts
    expert_ids: Int[Tensor, "T K"]
    weights: Float[Tensor, "T K"]  # renormalised over the K chosen, times the expert's own scale


class Router(nn.Module):
    """Chooses K experts per row from the un-normalised residual stream."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.num_chosen = config.num_experts_per_token
        self.eps = config.rms_norm_eps
        self.scale = nn.Parameter(torch.ones(config.hidden_size))
        self.expert_scale = nn.Parameter(torch.ones(config.num_experts))
        self.proj = nn.Linear(config.hidden_size, config.num_experts, bias=False)

    def forward(self, residual: Float[Tensor, "T D"]) -> Routing:
        """Softmax over all experts in fp32, the K largest made to sum to 1, then each expert's own scale."""
        scores = self.proj(F.rms_norm(residual, self.scale.shape, self.scale * residual.shape[-1] ** -0.5, self.eps))
        probabilities = torch.softmax(scores, dim=-1, dtype=torch.float32)
        weights, expert_ids = probabilities.topk(self.num_chosen, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True) * self.expert_scale[expert_ids]
        return Routing(probabilities, expert_ids, weights.to(residual.dtype))


class MixtureOfExperts(nn.Module):
    """The weighted sum of the K chosen experts, each a gated MLP."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        E, F_, D = config.num_experts, config.moe_intermediate_size, config.hidden_size
        self.router = Router(config)
        self.gate_up = nn.Parameter(torch.empty(E, 2 * F_, D))
        self.down = nn.Parameter(torch.empty(E, F_, D))

    def forward(self, x: Float[Tensor, "T D"], residual: Float[Tensor, "T D"]) -> tuple[Float[Tensor, "T D"], Routing]:
        """The experts read x, the router reads the residual stream it was normalised from."""
        routing = self.router(residual)
        run = experts_dense if self.gate_up.shape[0] <= 8 else experts_plain
        return run(x, routing.expert_ids, routing.weights, self.gate_up, self.down), routing
