"""The tied embedding: ids to rows, rows to logits, and the soft embedding of a distribution."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from redraft.kernels.suite import PLAIN, Kernels
from redraft.shapes import Float, Int, Tensor


class TiedEmbedding(nn.Module):
    """One table [V, D] that embeds ids (times sqrt(D)) and scores rows (softcapped)."""

    def __init__(self, vocab_size: int, size: int, logit_softcap: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, size))
        self.logit_softcap = logit_softcap

    @property
    def scale(self) -> Float[Tensor, ""]:
        """sqrt(D), rounded to the table's dtype as the field does: 53.07 is 53.0 in bf16."""
        return self.weight.new_full((), math.sqrt(self.weight.shape[1]))

    def forward(self, token_ids: Int[Tensor, "T"]) -> Float[Tensor, "T D"]:
        return F.embedding(token_ids, self.weight) * self.scale

    def logits(self, hidden: Float[Tensor, "R D"], kernels: Kernels = PLAIN) -> Float[Tensor, "R V"]:
        """Softcapped scores in fp32: cap * tanh(score / cap)."""
        return kernels.softcap(F.linear(hidden, self.weight), self.logit_softcap)

    def soft(self, tempered_logits: Float[Tensor, "R V"]) -> Float[Tensor, "R D"]:
        """Probability-weighted mean of the embeddings, times sqrt(D); softmax in fp32."""
        probabilities = torch.softmax(tempered_logits, dim=-1, dtype=torch.float32)
        return (probabilities.to(self.weight.dtype) @ self.weight) * self.scale
