"""A tokenizer's byte table as a trie by depth, made once per tokenizer."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Level:
    """The byte prefixes of one length, n of them; `parents` number the prefixes one byte shorter."""

    parents: NDArray[np.int64]  # [n]
    last_bytes: NDArray[np.uint8]  # [n]
    token_ids: NDArray[np.int64]  # [m] tokens that end at this depth ...
    token_nodes: NDArray[np.int64]  # [m] ... and the prefix each of them is


class Vocabulary:
    """The text of every token id; equal byte tables make equal vocabularies.

    `token_bytes[i]` is the text of id i, None where it has none (control tokens, ids past the tokenizer's end).
    """

    def __init__(self, token_bytes: Sequence[bytes | None]):
        self.token_bytes = tuple(token_bytes)
        self.size = len(self.token_bytes)
        self._hash = hash(self.token_bytes)
        self.levels = _levels(self.token_bytes)
        self._holding: dict[int, list[bytes]] = {}

    @cached_property
    def ids(self) -> dict[bytes, list[int]]:
        """The ids of each text, ascending."""
        found: dict[bytes, list[int]] = {}
        for token, text in enumerate(self.token_bytes):
            if text:
                found.setdefault(text, []).append(token)
        return found

    def beginning_with(self, start: bytes) -> list[bytes]:
        """The texts of tokens that begin with these bytes, sorted."""
        low = bisect_left(self._sorted, start)
        high = bisect_left(self._sorted, True, low, key=lambda text: not text.startswith(start))
        return self._sorted[low:high]

    def holding(self, byte: int) -> list[bytes]:
        """The texts of tokens that hold the byte somewhere."""
        if byte not in self._holding:
            self._holding[byte] = [text for text in self._sorted if byte in text]
        return self._holding[byte]

    @cached_property
    def _sorted(self) -> list[bytes]:
        return sorted(self.ids)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Vocabulary) and self.token_bytes == other.token_bytes)

    def __hash__(self) -> int:
        return self._hash


def _levels(token_bytes: tuple[bytes | None, ...]) -> tuple[Level, ...]:
    ids = np.array([i for i, data in enumerate(token_bytes) if data], dtype=np.int64)
    texts = [data for data in token_bytes if data]
    lengths = np.array([len(data) for data in texts], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    joined = np.frombuffer(b"".join(texts), dtype=np.uint8)
    nodes = np.zeros(len(ids), dtype=np.int64)
    levels = []
    for depth in range(int(lengths.max(initial=0))):
        keys, inverse = np.unique(nodes * 256 + joined[starts + depth], return_inverse=True)
        ends = lengths == depth + 1
        levels.append(Level(keys >> 8, (keys & 255).astype(np.uint8), ids[ends], inverse[ends]))
        ids, lengths, starts, nodes = (values[~ends] for values in (ids, lengths, starts, inverse))
    return tuple(levels)
