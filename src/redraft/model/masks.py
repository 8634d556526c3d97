"""Who may see whom: the two roles of a row, the segments of a packed batch, and the masks they need.

Every row of a canvas sees the same cached tokens (in sliding layers the last `window - 1`) plus the whole canvas. That
is what a cache view returns, so a canvas needs a mask only where a view returns more than the canvas may see.
"""

from dataclasses import dataclass, field
from enum import Enum

import torch

from redraft.cache.view import CacheView
from redraft.shapes import Bool, Int, Tensor


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
    visible: Int[Tensor, "B"] | None = None  # training: how many cached tokens each request's canvas sees; None: all

    @property
    def stop(self) -> int:
        return self.start + self.batch * self.length


@dataclass(frozen=True)
class Reading:
    """A segment within its batch; makes each mask it needs once for all layers."""

    segment: Segment
    offset: int  # rows of earlier segments of the batch in the same cache
    window: int
    _masks: dict[tuple[bool, int], Tensor | None] = field(default_factory=dict)

    def mask(self, is_sliding: bool, num_keys: int, device: torch.device) -> Bool[Tensor, "*B L S"] | None:
        """What the segment's rows may see of the keys its view returned, their own last. None: everything."""
        kind = (is_sliding, num_keys)
        if kind not in self._masks:
            window = self.window if is_sliding else None
            segment = self.segment
            if segment.role is Role.ENCODE:
                mask = causal_mask(segment.length, num_keys, window, device)
            else:
                mask = canvas_mask(segment.length, num_keys, window, segment.visible, device)
            self._masks[kind] = mask
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


def canvas_mask(
    canvas_length: int,
    num_keys: int,
    window: int | None = None,
    visible: Int[Tensor, "B"] | None = None,
    device: torch.device | str | None = None,
) -> Bool[Tensor, "*B C S"] | None:
    """True where a canvas row may look; the last `canvas_length` keys are the canvas itself. None: no mask needed.

    `visible` counts the cached tokens each request's canvas sees; the window ends with the last of them. A canvas of
    two after three cached keys:

        window 2   visible 2 of 3   visible 2 of 3, window 2
        . . 1 1 1  1 1 . 1 1        . 1 . 1 1
        . . 1 1 1  1 1 . 1 1        . 1 . 1 1
    """
    num_cached = num_keys - canvas_length
    if visible is None and (window is None or num_cached < window):
        return None
    keys = torch.arange(num_keys, device=device)
    stop = num_cached if visible is None else visible[:, None, None]
    seen = keys < stop
    if window is not None:
        seen = seen & (keys >= stop - window + 1)
    seen = seen | (keys >= num_cached)
    return seen.expand(*seen.shape[:-2], canvas_length, num_keys)
