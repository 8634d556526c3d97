"""Projections and norms over all packed rows, then attention segment by segment."""

from collections.abc import Sequence

import torch
from torch import nn

from redraft.config import LayerConfig
from redraft.kernels.attention import attend_fused
from redraft.model.layers import rotate, unit_rms
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
        self, x: Float[Tensor, "T D"], index: int, readings: Sequence[Reading], tables: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "T D"]:
        """Rows after attention. `index` is the layer's own; every segment's rows are put in its cache, in order."""
        N, G, H = self.num_heads, self.layer.num_kv_heads, self.layer.head_dim
        heads = unit_rms(self.qkv(x).view(x.shape[0], -1, H), self.eps)
        scales = torch.cat((self.query_scale.expand(N, H), self.key_scale.expand(G, H)))
        turned = rotate(heads[:, : N + G] * scales, *tables)
        queries, keys, values = turned[:, :N], turned[:, N:], heads[:, -G:]
        mixed = [self._read(index, reading, queries, keys, values) for reading in readings]
        num_spare = x.shape[0] - readings[-1].segment.stop
        if num_spare:
            mixed.append(x.new_zeros(num_spare, N * H))
        return self.out(mixed[0] if len(mixed) == 1 else torch.cat(mixed))

    def _read(self, index: int, reading: Reading, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        segment = reading.segment
        rows, shape = slice(segment.start, segment.stop), (segment.batch, segment.length, -1, self.layer.head_dim)
        seen_keys, seen_values = segment.cache.put(
            index, keys[rows].view(shape), values[rows].view(shape), reading.offset
        )
        mask = reading.mask(self.layer.is_sliding, seen_keys.shape[1], queries.device)
        mixed = attend_fused(queries[rows].view(shape), seen_keys, seen_values, mask)
        return mixed.reshape(segment.batch * segment.length, -1)
