"""Sets of characters as shapes over UTF-8 bytes: small acyclic automata, equal ones shared."""

ACCEPT = -1  # the shape that has read a whole character
_CONTINUATION = 0x80
_SURROGATES = (0xD800, 0xDFFF)
# (first, last code point, lead byte of zero payload, continuation bytes)
_LENGTHS = ((0, 0x7F, 0x00, 0), (0x80, 0x7FF, 0xC0, 1), (0x800, 0xFFFF, 0xE0, 2), (0x10000, 0x10FFFF, 0xF0, 3))

Ranges = tuple[tuple[int, int], ...]


class Utf8Shapes:
    """Interns shapes: a shape is a number, its edges are (mask of bytes, shape after one of them)."""

    def __init__(self):
        self._edges: list[tuple[tuple[int, int], ...]] = []
        self._known: dict[tuple[tuple[int, int], ...], int] = {}
        self._roots: dict[Ranges, int] = {}
        self._full: list[int] = [ACCEPT]  # any `n` continuation bytes

    def edges(self, shape: int) -> tuple[tuple[int, int], ...]:
        return self._edges[shape]

    def root(self, ranges: Ranges) -> int:
        """The shape that reads one character of the set; code points without UTF-8 (surrogates) are left out."""
        if ranges not in self._roots:
            self._roots[ranges] = self._make_root(without_surrogates(ranges))
        return self._roots[ranges]

    def _make_root(self, ranges: Ranges) -> int:
        masks: dict[int, int] = {}
        for first, last, lead, num_following in _LENGTHS:
            inside = [(max(lo, first), min(hi, last)) for lo, hi in ranges if lo <= last and hi >= first]
            for byte, child in self._split(inside, num_following):
                masks[child] = masks.get(child, 0) | byte << lead
        return self._intern(masks)

    def _split(self, ranges: list[tuple[int, int]], num_following: int) -> list[tuple[int, int]]:
        """(mask of values of the next byte's payload, shape after it) for code points in `ranges`."""
        span = 64**num_following
        whole = 0
        partial: dict[int, list[tuple[int, int]]] = {}
        for lo, hi in ranges:
            low, high = -(-lo // span), (hi + 1) // span  # blocks low .. high - 1 are covered whole
            if low < high:
                whole |= (1 << high) - (1 << low)
            for block in {lo // span, hi // span}:
                base = block * span
                if not low <= block < high:
                    partial.setdefault(block, []).append((max(lo - base, 0), min(hi - base, span - 1)))
        found = [(1 << block, self._following(inside, num_following)) for block, inside in partial.items()]
        return [*found, (whole, self._any(num_following))] if whole else found

    def _following(self, ranges: list[tuple[int, int]], num_following: int) -> int:
        masks: dict[int, int] = {}
        for byte, child in self._split(ranges, num_following - 1):
            masks[child] = masks.get(child, 0) | byte << _CONTINUATION
        return self._intern(masks)

    def _any(self, num_following: int) -> int:
        while len(self._full) <= num_following:
            self._full.append(self._intern({self._full[-1]: ((1 << 64) - 1) << _CONTINUATION}))
        return self._full[num_following]

    def _intern(self, masks: dict[int, int]) -> int:
        edges = tuple(sorted((mask, child) for child, mask in masks.items()))
        if edges not in self._known:
            self._known[edges] = len(self._edges)
            self._edges.append(edges)
        return self._known[edges]


def without_surrogates(ranges: Ranges) -> Ranges:
    """The same ranges less U+D800 to U+DFFF."""
    low, high = _SURROGATES
    parts = [part for lo, hi in ranges for part in ((lo, min(hi, low - 1)), (max(lo, high + 1), hi))]
    return tuple((lo, hi) for lo, hi in parts if lo <= hi)
