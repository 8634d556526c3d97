"""Projections and norms over all packed rows, then attention segment by segment."""

from collections.abc import Sequence

import torch
from torch import nn

from redraft.config import LayerConfig
from redraft.kernels.suite import PLAIN, Kernels
from redraft.model.masks import Reading
from redraft.shapes import Float, Tensor


class Attention(nn.Module):
    """Grouped-query attention: normalised queries, keys (learned scale) and values (none), rotary positions, scale 1.

    One product makes queries, keys and values, in that order of heads. Where keys and values share their projection,
    a value is the projection's output before the key's scale and rotation.
    """

    def __init__(self, size: int, num_heads: int, layer: LayerConfig, eps: float):
        super().__init__()
        self.layer = layer
        self.num_heads = num_heads
        self.eps = eps
        num_kv = layer.num_kv_heads if layer.shares_kv else 2 * layer.num_kv_heads
        self.qkv = nn.Linear(size, (num_heads + num_kv) * layer.head_dim, bias=False)
        self.out = nn.Linear(num_heads * layer.head_dim, size, bias=False)
        self.query_scale = nn.Parameter(torch.ones(layer.head_dim))
        self.key_scale = nn.Parameter(torch.ones(layer.head_dim))

    def forward(
        self,
        x: Float[Tensor, "T D"],
        index: int,
        readings: Sequence[Reading],
        turns: Float[Tensor, "T 2 H"],
        kernels: Kernels = PLAIN,
    ) -> Float[Tensor, "T D"]:
        """Rows after attention. `index` is the layer's own; every segment's rows are put in its cache, in order."""
        N, G = self.num_heads, self.layer.num_kv_heads
        queries, keys, values = kernels.heads(
            self.qkv(x), self.query_scale, self.key_scale, turns, self.eps, N, G, self.layer.shares_kv
        )
        return self.out(self.read(index, readings, kernels, queries, keys, values))

    def read(
        self,
        index: int,
        readings: Sequence[Reading],
        kernels: Kernels,
        queries: Float[Tensor, "T N H"],
        keys: Float[Tensor, "T G H"],
        values: Float[Tensor, "T G H"],
    ) -> Float[Tensor, "T NH"]:
        """What every segment's rows see, segment by segment; zeros for spare rows after the last."""
        mixed = [
            self._read(index, reading, kernels, *(rows[reading.segment.rows] for rows in (queries, keys, values)))
            for reading in readings
        ]
        num_spare = len(queries) - readings[-1].segment.stop
        if num_spare:
            mixed.append(queries.new_zeros(num_spare, mixed[0].shape[1]))
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def _read(
        self,
        index: int,
        reading: Reading,
        kernels: Kernels,
        queries: Float[Tensor, "R N H"],
        keys: Float[Tensor, "R G H"],
        values: Float[Tensor, "R G H"],
    ) -> Float[Tensor, "R NH"]:
        segment = reading.segment
        shape = (segment.batch, segment.length, -1, self.layer.head_dim)
        seen_keys, seen_values = segment.cache.put(index, keys.view(shape), values.view(shape), reading.offset)
        mask = reading.mask(self.layer.is_sliding, seen_keys.shape[1], queries.device)
        mixed = kernels.attend(queries.view(shape), seen_keys, seen_values, mask)
        return mixed.reshape(segment.batch * segment.length, -1)
