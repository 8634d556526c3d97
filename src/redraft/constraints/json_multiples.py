"""Multiples of a number as a language."""

from collections.abc import Callable, Iterable
from fractions import Fraction

from redraft.constraints.combine import EMPTY_TEXT, NOTHING, either, optional, sequence
from redraft.constraints.json_numbers import EXACT_DIGITS, decimal_places, zeros
from redraft.constraints.tree import Chars, Node, Text

MAX_RESIDUES = 250  # a multiple of m takes up to m automaton states per digit


def multiples(step: Fraction, is_whole: bool) -> Node | None:
    """Numbers that are a whole multiple of `step`, without exponent; None where that takes too many automaton states.

    `is_whole`: only integers, without a point.
    """
    if is_whole:
        step = Fraction(step.numerator)  # of n * p/q in lowest terms the integers are the multiples of p
    places, num_zeros = decimal_places(step), 0
    modulus = int(step * 10**places)
    while places == 0 and modulus % 10 == 0:
        modulus, num_zeros = modulus // 10, num_zeros + 1
    if modulus > MAX_RESIDUES:
        return None
    positive = _Multiples(modulus, places, num_zeros, is_whole).node()
    return sequence(optional(Text("-")), positive)


class _Multiples:
    """Multiples of modulus / 10**places * 10**num_zeros, one tree node per residue and digits left, shared."""

    def __init__(self, modulus: int, places: int, num_zeros: int, is_whole: bool):
        self._modulus = modulus
        self._places = places
        self._num_zeros = num_zeros
        self._is_whole = is_whole
        self._nodes: dict[tuple[str, int, int], Node] = {}

    def node(self) -> Node:
        digits = EXACT_DIGITS - self._places - self._num_zeros
        leading = self._next_digits(0, digits, self._whole, first=1) if digits > 0 else NOTHING
        return either(sequence(Text("0"), self._end(0)), leading)

    def _whole(self, residue: int, left: int) -> Node:
        """What may follow whole digits that leave this residue."""
        key = ("whole", residue, left)
        if key not in self._nodes:
            end = sequence(Text("0" * self._num_zeros), self._end(residue))
            more = self._next_digits(residue, left, self._whole) if left else NOTHING
            self._nodes[key] = either(end, more)
        return self._nodes[key]

    def _end(self, residue: int) -> Node:
        """The fraction, or none, that makes a multiple of whole digits with this residue."""
        is_multiple = residue * 10**self._places % self._modulus == 0
        if self._is_whole:
            return EMPTY_TEXT if is_multiple else NOTHING
        fraction = zeros(1) if is_multiple else NOTHING
        if self._places:
            fraction = self._next_digits(residue, self._places, self._fraction)
        return either(EMPTY_TEXT if is_multiple else NOTHING, sequence(Text("."), fraction))

    def _fraction(self, residue: int, left: int) -> Node:
        """What may follow a digit of the fraction; beyond the last place that counts only zeros do."""
        key = ("fraction", residue, left)
        if key not in self._nodes:
            is_multiple = residue * 10**left % self._modulus == 0
            more = self._next_digits(residue, left, self._fraction) if left else NOTHING
            end = zeros(0) if is_multiple else NOTHING
            self._nodes[key] = either(end, more)
        return self._nodes[key]

    def _next_digits(self, residue: int, left: int, follow: Callable[[int, int], Node], first: int = 0) -> Node:
        return by_digit(
            ((digit, (residue * 10 + digit) % self._modulus) for digit in range(first, 10)),
            lambda target: follow(target, left - 1),
        )


def by_digit(digits: Iterable[tuple[int, int]], follow: Callable[[int], Node]) -> Node:
    """One of some digits and what follows it, from (digit, where it leads); digits that lead to one place are a set."""
    places: dict[int, list[int]] = {}
    for digit, place in digits:
        places.setdefault(place, []).append(digit)
    return either(
        *(
            sequence(Chars(tuple((0x30 + digit, 0x30 + digit) for digit in found)), follow(place))
            for place, found in places.items()
        )
    )
