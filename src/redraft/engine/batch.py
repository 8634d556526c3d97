"""Work of several requests -> one packed forward."""

from collections.abc import Sequence

import torch

from redraft.engine.model_state import Work
from redraft.engine.request import Request
from redraft.model.masks import Segment
from redraft.model.transformer import PackedBatch
from redraft.shapes import Tensor


def pack(asked: Sequence[tuple[Request, Sequence[Work]]]) -> PackedBatch:
    """Rows of all works in order, one segment each."""
    segments, start = [], 0
    for request, works in asked:
        assert request.cache is not None
        for work in works:
            segments.append(Segment(start, 1, len(work), work.role, request.cache))
            start += len(work)
    works = [work for _, works in asked for work in works]
    return PackedBatch(
        token_ids=torch.cat([work.token_ids for work in works]),
        signal=_signals(works),
        segments=tuple(segments),
    )


def _signals(works: Sequence[Work]) -> Tensor | None:
    """Self-conditioning of all rows; zero rows where a work has none, None where none has any."""
    known = [work.signal for work in works if work.signal is not None]
    if not known:
        return None
    blank = known[0]
    signals = (blank.new_zeros(len(work), blank.shape[1]) if work.signal is None else work.signal for work in works)
    return torch.cat(list(signals))
