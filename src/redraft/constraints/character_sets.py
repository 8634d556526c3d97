"""Sets of characters as sorted, disjoint, inclusive code-point ranges."""

from collections.abc import Callable, Iterable
from enum import Enum
from functools import cache

from redraft.constraints.tree import MAX_CODE_POINT

Ranges = tuple[tuple[int, int], ...]

ANY: Ranges = ((0, MAX_CODE_POINT),)
LINE_END: Ranges = ((0x0A, 0x0A),)
_LINE_END_ECMA: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_ASCII: dict[str, Ranges] = {
    "d": ((0x30, 0x39),),
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
    "s": ((0x09, 0x0D), (0x20, 0x20)),
}
# ECMA-262: WhiteSpace and LineTerminator, less U+FEFF, which Python leaves out
_SPACE_OF_ALL: Ranges = (
    *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029)),
    *((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)),
)


class Reader(Enum):
    """Whose reading of a pattern counts: Python's under fullmatch, or those of JSON Schema's `pattern`, a search.

    ECMA-262 and Python's `re` disagree about classes beyond ASCII, about `.` and about `$`; validators follow either.
    """

    FULLMATCH = "what Python's re.fullmatch takes with ASCII classes"
    ALL = "what both find"
    ANY = "what either finds"

    @property
    def is_search(self) -> bool:
        return self is not Reader.FULLMATCH

    @property
    def opposite(self) -> "Reader":
        """Whose reading of a set leaves what this one's reading of its complement holds."""
        return {Reader.ALL: Reader.ANY, Reader.ANY: Reader.ALL}.get(self, self)

    @property
    def dot(self) -> Ranges:
        """The characters of `.`."""
        return complement(_LINE_END_ECMA if self is Reader.ALL else LINE_END)

    def escaped_class(self, letter: str) -> Ranges:
        """The characters of \\d, \\w, \\s and their opposites \\D, \\W, \\S."""
        if letter.isupper():
            return complement(self.opposite.escaped_class(letter.lower()))
        if self is Reader.ANY:
            return _class_of_any(letter)
        return _SPACE_OF_ALL if letter == "s" and self is Reader.ALL else _ASCII[letter]


@cache
def _class_of_any(letter: str) -> Ranges:
    """What Python's re takes for \\d, \\w or \\s without its ASCII flag, which is all that ECMA-262 does and U+FEFF."""
    test: dict[str, Callable[[str], bool]] = {"d": str.isdecimal, "w": str.isalnum, "s": str.isspace}
    found = [code for code in range(MAX_CODE_POINT + 1) if test[letter](chr(code))]
    return union((code, code) for code in [*found, ord({"d": "0", "w": "_", "s": "\ufeff"}[letter])])


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
