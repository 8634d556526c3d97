"""Work of several requests -> one packed forward."""

from collections.abc import Sequence

import torch

from redraft.engine.model_state import Work
from redraft.engine.request import Request
from redraft.model.masks import Segment
from redraft.model.transformer import PackedBatch
from redraft.shapes import Tensor


def pack(asked: Sequence[tuple[Request, Sequence[Work]]]) -> PackedBatch:
    """Rows of all works in order, one segment each, positions counted on from each request's cache."""
    positions, segments, start = [], [], 0
    for request, works in asked:
        assert request.cache is not None
        held = request.cache.length
        for work in works:
            positions.append(torch.arange(held, held + len(work), device=work.token_ids.device))
            segments.append(Segment(start, 1, len(work), work.role, request.cache))
            start, held = start + len(work), held + len(work)
    works = [work for _, works in asked for work in works]
    return PackedBatch(
        token_ids=torch.cat([work.token_ids for work in works]),
        positions=torch.cat(positions),
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
