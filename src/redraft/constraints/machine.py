"""Deterministic machines over symbol sets, and their products.

Symbols are bits of an int, so that an edge carries a set of them: bits 0 to 255 are bytes, `MARK` is read at the
start of every token (only by trees whose holes count tokens), higher bits are control tokens in order of first use.
Sparse on purpose: a state of a constraint has few edges.
"""

from dataclasses import dataclass

from redraft.constraints.limits import Meter

MARK = 256
FIRST_SPECIAL = 257
_MARKS = 1 << MARK
Edges = list[tuple[int, int]]  # (mask of symbols, target); masks of one state are disjoint, targets differ


@dataclass(frozen=True, eq=False)
class Machine:
    """Deterministic automaton; state 0 is the start, a symbol on no edge is refused."""

    edges: list[Edges]
    accepting: list[bool]
    specials: tuple[int, ...] = ()  # control tokens of the symbols from FIRST_SPECIAL on


def product(first: Machine, second: Machine, negate: bool, meter: Meter) -> Machine:
    """The machine of texts in `first` that are in `second` (or, negated, are not); not minimal. `first` may count."""
    numbers: dict[tuple[int, int], int] = {(0, 0): 0}
    order = [(0, 0)]
    edges: list[Edges] = []
    while len(edges) < len(order):
        one, two = order[len(edges)]
        merged: dict[int, int] = {}
        marks = [(_MARKS, (target, two)) for mask, target in first.edges[one] if mask & _MARKS]
        for mask, pair in marks + _joint_edges(first.edges[one], second.edges[two] if two >= 0 else [], negate):
            if pair not in numbers:
                numbers[pair] = len(order)
                order.append(pair)
                meter.check_subset(len(order), 1)
            merged[numbers[pair]] = merged.get(numbers[pair], 0) | mask
        edges.append([(mask, target) for target, mask in merged.items()])
    accepting = [first.accepting[one] and (two >= 0 and second.accepting[two]) != negate for one, two in order]
    return Machine(edges, accepting)


def _joint_edges(first: Edges, second: Edges, negate: bool) -> list[tuple[int, tuple[int, int]]]:
    """(mask, pair of targets); under negation a text that `second` refuses goes on with -1 as its second state.

    Marks are left out: where a token begins is no part of a text.
    """
    first = [(mask & ~_MARKS, target) for mask, target in first]
    found = [(mask & other, (one, two)) for mask, one in first for other, two in second if mask & other]
    if negate:
        covered = 0
        for mask, _ in second:
            covered |= mask
        found.extend((mask & ~covered, (one, -1)) for mask, one in first if mask & ~covered)
    return found
