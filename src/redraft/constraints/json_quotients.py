"""Multiples of a number that nobody disputes.

19.99 is a multiple of 0.01, but 19.99 / 0.01 is 1998.9999999999998 in doubles, and validators that divide doubles say
no. Which multiples they dispute looks irregular and is not: the error of a quotient depends on the last digits and on
the powers of two around, so that the undisputed ones below a million steps of the last digit make a small automaton.
"""

from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from redraft.constraints.combine import EMPTY_TEXT, NOTHING, either, optional, sequence
from redraft.constraints.json_multiples import by_digit, multiples
from redraft.constraints.json_numbers import decimal_places, zeros
from redraft.constraints.tree import Node, Text

TABLE_DIGITS = 6  # of the numbers that are tried one by one, those after the point included
MAX_BLOCKS = 4000  # distinct runs of 10, 100, ... numbers, a state each


def opinions(value: Fraction, step: Fraction) -> set[bool]:
    """Whether a value is a multiple: in decimals, and by the quotient of doubles."""
    found = {(value / step).denominator == 1}
    if abs(value) < 2**1000 and (quotient := float(value) / float(step)) < 2**1000:
        found.add(quotient.is_integer())
    return found


@lru_cache(maxsize=8)
def undisputed_multiples(step: Fraction, is_whole: bool) -> Node | None:
    """Multiples of `step` by all opinions, without exponent; None where that takes too many automaton states.

    `is_whole`: only integers, without a point.
    """
    if step.denominator & (step.denominator - 1) == 0:
        return multiples(step, is_whole)  # a double holds the step and its multiples: all quotients are exact
    places = 0 if is_whole else decimal_places(step)
    small = _Table(step, places, is_whole).node() if places < TABLE_DIGITS else None
    # Integers are undisputed however large if the double of the step is this close to it: quotients then round to n.
    is_close = abs(Fraction(float(step)) / step - 1) <= Fraction(1, 2**54)
    large = multiples(Fraction(step.numerator), is_whole) if is_close else NOTHING
    return None if small is None or large is None else either(small, large)


class _Table:
    """The undisputed multiples of up to TABLE_DIGITS digits, `places` of them after the point.

    Equal blocks of 10, 100, ... numbers have one number: `_children[k]` gives the ten blocks of 10**k numbers inside
    each distinct one of 10**(k + 1), `_first[k]` whether the first number of each block of 10**k is a multiple.
    """

    def __init__(self, step: Fraction, places: int, is_whole: bool):
        self._places = places
        self._is_whole = is_whole
        self._nodes: dict[tuple[int, int], Node] = {}
        blocks = _undisputed(step, places).astype(np.int64)
        self._first, self._children = [np.array([0, 1])], []
        self._zero = [int(blocks[0])]  # by length, the block that begins with 0
        for _ in range(TABLE_DIGITS):
            rows, blocks = _distinct(blocks.reshape(-1, 10))
            self._children.append(rows)
            self._first.append(self._first[-1][rows[:, 0]])
            self._zero.append(int(blocks[0]))

    def node(self) -> Node | None:
        """All of them, with or without a minus; None past MAX_BLOCKS."""
        if sum(map(len, self._children)) > MAX_BLOCKS:
            return None
        lengths = range(self._places, TABLE_DIGITS)
        options = [self._next_digits(length, self._zero[length + 1], first=1) for length in lengths]
        zero = sequence(Text("0"), self._after(self._places, self._zero[self._places]))
        return sequence(optional(Text("-")), either(zero, *options))

    def _after(self, length: int, block: int) -> Node:
        """What may follow digits that lead to a block of 10**length numbers."""
        if (length, block) not in self._nodes:
            self._nodes[length, block] = self._make(length, block)
        return self._nodes[length, block]

    def _make(self, length: int, block: int) -> Node:
        if length > self._places:
            return self._next_digits(length - 1, block)
        is_multiple = bool(self._first[length][block])
        more = self._next_digits(length - 1, block) if length else NOTHING
        if length < self._places:
            return either(zeros(0) if is_multiple else NOTHING, more)
        if self._is_whole:
            return EMPTY_TEXT if is_multiple else NOTHING
        fraction = either(zeros(1) if is_multiple else NOTHING, more)
        return either(EMPTY_TEXT if is_multiple else NOTHING, sequence(Text("."), fraction))

    def _next_digits(self, length: int, block: int, first: int = 0) -> Node:
        children = self._children[length][block].tolist()
        return by_digit(list(enumerate(children))[first:], lambda child: self._after(length, child))


def _undisputed(step: Fraction, places: int) -> NDArray[np.bool_]:
    """[10**TABLE_DIGITS] whether i / 10**places is a multiple by all opinions."""
    numbers = np.arange(10**TABLE_DIGITS)
    ratio = step * 10**places
    quotients = numbers / 10.0**places / float(step)  # powers of ten this small are doubles, so this rounds twice only
    return (numbers % ratio.numerator == 0) & (quotients == np.floor(quotients))


def _distinct(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct rows, and which of them each row is; numpy.unique by axis takes ten times as long."""
    keys = rows[:, 0]
    for column in rows.T[1:]:
        keys = np.unique(keys * (column.max() + 1) + column, return_inverse=True)[1]
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], numbers
