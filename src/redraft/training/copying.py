"""Weights to start from where the task is to copy: what a head reads comes out as what was read."""

from typing import Any

import torch
from torch import Tensor, nn

from redraft.config import ModelConfig
from redraft.model.transformer import random_model


def copying_start(config: ModelConfig, seed: int = 0) -> dict[str, Tensor]:
    """Random weights, but every attention output is the transpose of its value projection, whose rows are orthonormal.

    So from the first update a head that looks at the right token raises the score of that token, and only where to look
    is left to be learned. The idea is that of mimetic initialisation (Trockman and Kolter, arXiv 2305.09828).
    """
    model = random_model(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer, shape in zip(model.layers, config.layers, strict=True):
            attention: Any = layer.attention
            num_values = shape.num_kv_heads * shape.head_dim
            noise = torch.randn(config.hidden_size, config.hidden_size, generator=generator)
            values = torch.linalg.qr(noise).Q[:num_values]
            attention.qkv.weight[-num_values:] = values
            heads = values.view(shape.num_kv_heads, shape.head_dim, -1)
            repeated = heads.repeat_interleave(config.num_heads // shape.num_kv_heads, dim=0)
            attention.out.weight.copy_(repeated.flatten(0, 1).T)
            nn.init.constant_(attention.query_scale, 0.5)  # looks around at first
    return model.state_dict()
