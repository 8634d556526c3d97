"""Sets of characters as sorted, disjoint, inclusive code-point ranges."""

from collections.abc import Iterable

from redraft.constraints.tree import MAX_CODE_POINT

Ranges = tuple[tuple[int, int], ...]

DIGITS: Ranges = ((0x30, 0x39),)
WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
SPACE: Ranges = ((0x09, 0x0D), (0x20, 0x20))
# ECMA-262: WhiteSpace and LineTerminator
SPACE_SEARCH: Ranges = (
    *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029)),
    *((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
LINE_END: Ranges = ((0x0A, 0x0A),)
LINE_END_SEARCH: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
ANY: Ranges = ((0, MAX_CODE_POINT),)


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The ranges, in any order and overlapping, as one set."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """Every code point that is not in the set."""
    edges = [-1, *(edge for low, high in ranges for edge in (low, high)), MAX_CODE_POINT + 1]
    gaps = ((edges[i] + 1, edges[i + 1] - 1) for i in range(0, len(edges), 2))
    return tuple((low, high) for low, high in gaps if low <= high)


def fold(ranges: Ranges) -> Ranges:
    """The set with both cases of every ASCII letter in it."""
    both = list(ranges)
    for first, shift in ((ord("A"), 32), (ord("a"), -32)):
        parts = ((max(low, first), min(high, first + 25)) for low, high in ranges)
        both.extend((low + shift, high + shift) for low, high in parts if low <= high)
    return union(both)
