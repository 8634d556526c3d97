"""Who may see whom: the two roles of a row, the segments of a packed batch, and the masks they need.

A canvas needs no mask: each of its rows sees everything its cache view returns, which is the same cached tokens for all
of them (in sliding layers the last `window - 1`) plus the whole canvas.
"""

from dataclasses import dataclass, field
from enum import Enum

import torch

from redraft.cache.view import CacheView
from redraft.shapes import Bool, Tensor


class Role(Enum):
    """What the stack does with a row; the value is the column of the layer scalars."""

    ENCODE = 0  # causal over clean tokens; its keys and values may become part of the cache
    DENOISE = 1  # bidirectional inside the canvas


@dataclass(frozen=True)
class Segment:
    """A run of packed rows that attend alike: `batch` requests of `length` rows each, request after request."""

    start: int  # first row
    batch: int
    length: int
    role: Role
    cache: CacheView

    @property
    def stop(self) -> int:
        return self.start + self.batch * self.length

    @property
    def rows(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Reading:
    """A segment within its batch; makes each mask it needs once for all layers."""

    segment: Segment
    offset: int  # rows of earlier segments of the batch in the same cache
    window: int
    _masks: dict[tuple[int | None, int], Tensor | None] = field(default_factory=dict)

    @property
    def positions(self) -> range:
        """Positions in the text of each request's rows: they continue what its cache holds."""
        first = self.segment.cache.length + self.offset
        return range(first, first + self.segment.length)

    def mask(self, is_sliding: bool, num_keys: int, device: torch.device) -> Bool[Tensor, "L S"] | None:
        """What the segment's rows may see of the keys its view returned, their own last. None: everything."""
        if self.segment.role is Role.DENOISE:
            return None
        window = self.window if is_sliding and num_keys > self.window else None
        kind = (window, num_keys)
        if kind not in self._masks:
            self._masks[kind] = causal_mask(self.segment.length, num_keys, window, device)
        return self._masks[kind]


def causal_mask(
    num_queries: int, num_keys: int, window: int | None = None, device: torch.device | str | None = None
) -> Bool[Tensor, "L S"] | None:
    """True where a query may look; the last `num_queries` keys are the queries' own rows. None: no mask needed.

    With a window a query sees itself and the `window - 1` keys before it. Two queries after two cached keys:

        causal     window 2
        1 1 1 .    . 1 1 .
        1 1 1 1    . . 1 1
    """
    first = num_keys - num_queries
    if num_queries == 1 and (window is None or num_keys <= window):
        return None
    queries = torch.arange(first, num_keys, device=device)[:, None]
    keys = torch.arange(num_keys, device=device)
    visible = keys <= queries
    if window is not None and num_keys > window:
        visible &= keys > queries - window
    return visible
