"""The head's loss over some of the vocabulary: what makes a small model with many tokens cheap to train."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Float, Int, Tensor

IGNORE = -100  # target of a row that does not count


class Candidates:
    """Losses and soft embeddings over the ids a batch holds and enough others, drawn at random, to make `count`.

    Each drawn id stands for as many as were left out: the denominator of the softmax is estimated without bias. With
    count None these are the losses over the whole vocabulary.
    """

    def __init__(
        self, model: DiffusionTransformer, batch_ids: Sequence[Tensor], count: int | None, generator: torch.Generator
    ):
        self.model = model
        self.token_ids = None  # ascending
        if count is None:
            return
        is_held = torch.zeros(model.vocab_size, dtype=torch.bool)
        for ids in batch_ids:
            is_held[ids.flatten().cpu()] = True
        others = (~is_held).nonzero().flatten()
        drawn = others[torch.randperm(len(others), generator=generator)[: max(1, count - int(is_held.sum()))]]
        log_weight = torch.zeros(model.vocab_size)
        log_weight[drawn] = math.log(len(others) / max(1, len(drawn)))
        is_held[drawn] = True
        self.token_ids = is_held.nonzero().flatten().to(model.device)
        self.log_weight = log_weight.to(model.device)[self.token_ids]

    def loss(self, hidden: Float[Tensor, "R D"], target_ids: Int[Tensor, "R"]) -> Float[Tensor, ""]:
        """Mean cross-entropy of rows against target ids of the batch; rows with target IGNORE do not count."""
        if self.token_ids is None:
            return F.cross_entropy(self.model.head(hidden), target_ids, ignore_index=IGNORE)
        places = torch.searchsorted(self.token_ids, target_ids)
        places = torch.where(target_ids == IGNORE, IGNORE, places)
        return F.cross_entropy(self._logits(hidden), places, ignore_index=IGNORE)

    def soft(self, hidden: Float[Tensor, "R D"]) -> Float[Tensor, "R D"]:
        """The soft embedding of the prediction at temperature 1."""
        if self.token_ids is None:
            return self.model.soft_embedding(self.model.head(hidden))
        table = self.model.embedding
        return self._logits(hidden).softmax(-1) @ table.weight[self.token_ids] * table.scale

    def _logits(self, hidden: Float[Tensor, "R D"]) -> Float[Tensor, "R N"]:
        table = self.model.embedding
        assert self.token_ids is not None
        scores = F.linear(hidden, table.weight[self.token_ids] / table.logit_softcap)
        return torch.tanh(scores) * table.logit_softcap + self.log_weight
