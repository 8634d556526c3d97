"""Attention of one segment: the plain reference and the fused version behind one signature.

Scale 1 (queries and keys are normalised), no softcap; grouped queries: query head n reads key-value head n // (N / G).
"""

import torch
import torch.nn.functional as F

from redraft.shapes import Bool, Float, Tensor


def attend_plain(
    queries: Float[Tensor, "B L N H"],
    keys: Float[Tensor, "B S G H"],
    values: Float[Tensor, "B S G H"],
    mask: Bool[Tensor, "L S"] | None = None,
) -> Float[Tensor, "B L N H"]:
    """Weighted values per query head; softmax in fp32. `mask` is True where a query may look; None: everywhere."""
    B, L, N, H = queries.shape
    S, G = keys.shape[1:3]
    grouped = queries.view(B, L, G, N // G, H).permute(0, 2, 3, 1, 4).reshape(B, G, N // G * L, H)
    scores = grouped @ keys.permute(0, 2, 3, 1)
    if mask is not None:
        scores = scores.view(B, G, N // G, L, S).masked_fill(~mask, float("-inf")).view(B, G, -1, S)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype)
    mixed = weights @ values.transpose(1, 2)
    return mixed.view(B, G, N // G, L, H).permute(0, 3, 1, 2, 4).reshape(B, L, N, H)


def attend_fused(
    queries: Float[Tensor, "B L N H"],
    keys: Float[Tensor, "B S G H"],
    values: Float[Tensor, "B S G H"],
    mask: Bool[Tensor, "L S"] | None = None,
) -> Float[Tensor, "B L N H"]:
    """The same through torch's scaled_dot_product_attention, which never holds all scores at once."""
    mixed = F.scaled_dot_product_attention(
        queries.transpose(1, 2),
        keys.transpose(1, 2),
        values.transpose(1, 2),
        attn_mask=mask,
        scale=1.0,
        enable_gqa=queries.shape[2] != keys.shape[2],
    )
    return mixed.transpose(1, 2)
