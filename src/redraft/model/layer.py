"""One layer of the stack, as plain modules and, where kernels can, fused."""

from collections.abc import Sequence

import torch
from torch import nn

from redraft.config import LayerConfig, ModelConfig
from redraft.kernels.suite import PLAIN, FusedLayer, Kernels
from redraft.model.attention import Attention
from redraft.model.layers import GatedMLP, RMSNorm
from redraft.model.masks import Reading
from redraft.model.moe import MixtureOfExperts, Routing
from redraft.shapes import Float, Int, Tensor


class Layer(nn.Module):
    """Attention, then a dense and a routed MLP side by side, with norms before and after each."""

    def __init__(self, config: ModelConfig, layer: LayerConfig):
        super().__init__()
        size, eps = config.hidden_size, config.rms_norm_eps
        self.attention_norm = RMSNorm(size, eps)
        self.attention = Attention(size, config.num_heads, layer, eps)
        self.attention_post_norm = RMSNorm(size, eps)
        self.mlp_norm = RMSNorm(size, eps)
        self.mlp = GatedMLP(size, config.intermediate_size)
        self.mlp_post_norm = RMSNorm(size, eps)
        self.moe_norm = RMSNorm(size, eps)
        self.moe = MixtureOfExperts(config)
        self.moe_post_norm = RMSNorm(size, eps)
        self.post_norm = RMSNorm(size, eps)
        self.scalars = nn.Parameter(torch.ones(2))  # per Role, multiplies the whole residual stream
        self.fused: FusedLayer | None = None  # runs instead of what `forward` shows, attention apart

    def forward(
        self,
        x: Float[Tensor, "T D"],
        index: int,
        readings: Sequence[Reading],
        turns: Float[Tensor, "T 2 H"],
        role: int | Int[Tensor, "T 1"],
        kernels: Kernels = PLAIN,
    ) -> tuple[Float[Tensor, "T D"], Routing]:
        if self.fused is not None and kernels is not PLAIN:
            attended = self.attention.read(index, readings, kernels, *self.fused.before(x, turns))
            x, *routing = self.fused.after(x, attended, self.scalars[role], isinstance(role, Tensor))
            return x, Routing(*routing)
        attended = self.attention(self.attention_norm(x, kernels), index, readings, turns, kernels)
        x = self.attention_post_norm.onto(x, attended, kernels)
        # Three norms that differ only in their weights read the same rows.
        unit = kernels.norm(x, None, self.mlp_norm.eps)
        routed, routing = self.moe(unit * self.moe_norm.weight, unit, kernels)
        dense = self.mlp_post_norm(self.mlp(unit * self.mlp_norm.weight, kernels), kernels)
        mixed = self.moe_post_norm.onto(dense, routed, kernels)
        return self.post_norm.onto(x, mixed, kernels) * self.scalars[role], routing

    def use(self, kernels: Kernels, is_fused: bool) -> None:
        """Lay the weights out as these kernels want them."""
        self.moe.gate_up.data = kernels.lay_out(self.moe.gate_up.data)
        self.fused = None
        if is_fused:
            assert kernels.fuse is not None
            self.fused = kernels.fuse(
                dict(self.named_parameters()),
                eps=self.post_norm.eps,
                num_queries=self.attention.num_heads,
                num_kv=self.attention.layer.num_kv_heads,
                shares_kv=self.attention.layer.shares_kv,
                num_chosen=self.moe.router.num_chosen,
            )
