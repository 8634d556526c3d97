"""Router, experts, combine."""

from typing import NamedTuple

import torch
from torch import nn

from redraft.config import ModelConfig
from redraft.kernels.moe import experts_dense, experts_grouped, experts_plain
from redraft.shapes import Float, Int, Tensor

# Up to this many multiplications per row wasted on experts a row did not choose, running them all costs less than
# sorting the rows. On a CPU 9 thousand ran 1.4 times as fast as sorting, 442 thousand 1.3 times as slow (measured);
# on a GPU products this small cost their launches, and sorting waits for the device (not measured).
DENSE_UP_TO = {"cpu": 2**16, "cuda": 2**20}


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

    def forward(self, unit: Float[Tensor, "T D"]) -> Routing:
        """Softmax over all experts in fp32, the K largest made to sum to 1, then each expert's own scale."""
        scores = self.proj(unit * (self.scale * unit.shape[-1] ** -0.5))
        probabilities = torch.softmax(scores, dim=-1, dtype=torch.float32)
        weights, expert_ids = probabilities.topk(self.num_chosen, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True) * self.expert_scale[expert_ids]
        return Routing(probabilities, expert_ids, weights.to(unit.dtype))


class MixtureOfExperts(nn.Module):
    """The weighted sum of the K chosen experts, each a gated MLP."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        E, F_, D = config.num_experts, config.moe_intermediate_size, config.hidden_size
        self.router = Router(config)
        self.gate_up = nn.Parameter(torch.empty(E, 2 * F_, D))
        self.down = nn.Parameter(torch.empty(E, F_, D))
        self.wasted = (E - config.num_experts_per_token) * F_ * D  # multiplications per row, times 3, if all run

    def forward(self, x: Float[Tensor, "T D"], unit: Float[Tensor, "T D"]) -> tuple[Float[Tensor, "T D"], Routing]:
        """The experts read x, the router reads the residual stream, both normalised: `unit` is it without a weight."""
        routing = self.router(unit)
        learns = torch.is_grad_enabled() and (x.requires_grad or self.gate_up.requires_grad)
        if self.wasted <= DENSE_UP_TO[x.device.type]:
            run = experts_dense
        else:
            run = experts_plain if learns else experts_grouped
        return run(x, routing.expert_ids, routing.weights, self.gate_up, self.down), routing
