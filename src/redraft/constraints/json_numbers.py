"""JSON numbers as languages: ranges and single values.

A number is written as json.dumps writes it: whole (`12`), decimal (`1.25`) or scientific with one digit before the
point (`1.5e-07`). Digits are bounded, so that no text is all digits: 20 before the point and 20 after it hold every
64-bit integer and every shortest form of a double. Bounds are compared exactly, as decimals, and what a double would
round onto or over them is left out, too.
"""

import math
import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from redraft.constraints.combine import (
    EMPTY_TEXT,
    NOTHING,
    decimal_digits,
    digits_between,
    digits_from,
    either,
    optional,
    sequence,
)
from redraft.constraints.tree import Both, Chars, Node, Repeat, Text

WHOLE_DIGITS = 20
FRACTION_DIGITS = 20
EXACT_DIGITS = 15  # digits that a double holds: no two numbers of so many become one
LARGEST = Fraction(10) ** 308 - 1  # largest and smallest magnitude written with an exponent; doubles go little further
SMALLEST = Fraction(10) ** -323
ZERO = Fraction(0)

_ANY = decimal_digits(0, 9)
_ANY_FRACTION = sequence(Text("."), Repeat(_ANY, 1, FRACTION_DIGITS))

JSON_NUMBER = sequence(
    optional(Text("-")),
    either(Text("0"), sequence(decimal_digits(1, 9), Repeat(_ANY, 0, None))),
    optional(sequence(Text("."), Repeat(_ANY, 1, None))),
    optional(
        sequence(
            Chars(((0x45, 0x45), (0x65, 0x65))),
            either(
                sequence(Text("-"), Repeat(_ANY, 1, 3)),
                sequence(optional(Text("+")), optional(decimal_digits(0, 2)), Repeat(_ANY, 1, 2)),
            ),
        )
    ),
)
"""Every number of the JSON grammar, digits without end, whose exponent is below 300."""


def exact(value: int | float) -> Fraction:
    """The value as the decimal that JSON text spells."""
    return Fraction(Decimal(repr(value))) if isinstance(value, float) else Fraction(value)


def whole_numbers(low: Fraction | None, high: Fraction | None) -> Node:
    """Integers from low to high, both included, None meaning no bound, without point or exponent."""
    least = None if low is None else math.ceil(low)
    most = None if high is None else math.floor(high)
    negative = NOTHING
    if least is None or least < 0:
        negative = _naturals(max(1, -most) if most is not None else 1, None if least is None else -least)
    positive = _naturals(max(0, least or 0), most) if most is None or most >= 0 else NOTHING
    return either(positive, sequence(Text("-"), negative))


def numbers(low: Fraction | None, high: Fraction | None, low_open: bool = False, high_open: bool = False) -> Node:
    """Numbers between two bounds, None meaning no bound, `*_open` leaving the bound itself out."""
    if low is not None and (low_open or _rounds(low, operator.lt)):
        low = _next_double(low, math.inf)
    if high is not None and (high_open or _rounds(high, operator.gt)):
        high = _next_double(high, -math.inf)
    negative = NOTHING
    if low is None or low < 0:
        negative = _magnitudes(max(ZERO, -high) if high is not None else ZERO, None if low is None else -low)
    positive = _magnitudes(max(ZERO, low or ZERO), high) if high is None or high >= 0 else NOTHING
    zero = Text("-0.0") if low == 0 else NOTHING
    return either(positive, zero, sequence(Text("-"), negative))


def short_numbers() -> Node:
    """Numbers of few enough digits that a double keeps them off integers and off multiples that they are not."""
    half = EXACT_DIGITS // 2
    fraction = optional(sequence(Text("."), Repeat(_ANY, 1, half)))
    return sequence(optional(Text("-")), _naturals(0, 10**half - 1), fraction)


def whole_values() -> Node:
    """Integers, with or without a point, without exponent."""
    return sequence(optional(Text("-")), _naturals(0, None), optional(sequence(Text("."), zeros(1))))


def spellings(value: Fraction, is_whole: bool) -> tuple[str, ...]:
    """How json.dumps writes a value, as an int and as a float; only as an int where `is_whole`."""
    texts = [str(value.numerator)] if value.denominator == 1 else []
    if not is_whole and abs(value) <= LARGEST and exact(float(value)) == value:
        texts.append(repr(float(value)))
    return tuple(dict.fromkeys(texts))


def near(value: Fraction) -> Node:
    """Every number that is the value, or rounds to it as a double."""
    below, above = _next_double(value, -math.inf), _next_double(value, math.inf)
    return numbers((below + value) / 2, (value + above) / 2)


def zeros(low: int) -> Node:
    """At least `low` zeros, as many as a fraction may have digits."""
    return Repeat(Text("0"), low, FRACTION_DIGITS)


def _naturals(low: int, high: int | None) -> Node:
    """Whole numbers from low to high without leading zeros; None: as many digits as there may be."""
    top = 10 ** max(WHOLE_DIGITS, len(str(low))) - 1 if high is None else high
    if low > top:
        return NOTHING
    first, last = list(map(int, str(low))), list(map(int, str(top)))
    if len(first) == len(last):
        return digits_between(first, last, decimal_digits, 9)
    options = [digits_from(first, decimal_digits, 9) if low else Text("0")]
    if low == 0:
        first = [1]
        options.append(decimal_digits(1, 9) if len(last) > 1 else NOTHING)
    if len(last) - len(first) > 1:
        options.append(sequence(decimal_digits(1, 9), Repeat(_ANY, len(first), len(last) - 2)))
    options.append(digits_between([1, *[0] * (len(last) - 1)], last, decimal_digits, 9))
    return either(*options)


def _magnitudes(low: Fraction, high: Fraction | None) -> Node:
    """Unsigned numbers from low (0 or more) to high, both included."""
    if high is not None and low > high:
        return NOTHING
    return either(
        _decimals(low, high), _scientific(max(low, SMALLEST), LARGEST if high is None else min(high, LARGEST))
    )


def _decimals(low: Fraction, high: Fraction | None) -> Node:
    """Unsigned numbers from low to high without exponent."""
    if low >= 10**WHOLE_DIGITS:
        return NOTHING
    whole, digits = _split(low)
    above = either(
        sequence(Text(str(whole)), _fraction_from(digits)),
        sequence(_naturals(whole + 1, 10**WHOLE_DIGITS - 1), optional(_ANY_FRACTION)),
    )
    if high is None or high >= 10**WHOLE_DIGITS:
        return above
    whole, digits = _split(high)
    below = either(
        sequence(Text(str(whole)), _fraction_up_to(digits)),
        sequence(_naturals(0, whole - 1), optional(_ANY_FRACTION)) if whole else NOTHING,
    )
    return below if low == 0 else Both(above, below)


def _scientific(low: Fraction, high: Fraction) -> Node:
    """Unsigned numbers from low (above 0) to high with one digit other than 0 before the point, and an exponent."""
    if low > high:
        return NOTHING
    least, most = _exponent(low), _exponent(high)
    (first, first_digits), (last, last_digits) = (
        _split(low / Fraction(10) ** least),
        _split(high / Fraction(10) ** most),
    )
    above = either(
        sequence(decimal_digits(first, first), _fraction_from(first_digits)),
        sequence(decimal_digits(first + 1, 9), optional(_ANY_FRACTION)),
    )
    below = either(
        sequence(decimal_digits(last, last), _fraction_up_to(last_digits)),
        sequence(decimal_digits(1, last - 1), optional(_ANY_FRACTION)),
    )
    if least == most:
        return sequence(Both(above, below), _exponents(least, least))
    between = sequence(decimal_digits(1, 9), optional(_ANY_FRACTION))
    return either(
        sequence(above, _exponents(least, least)),
        sequence(between, _exponents(least + 1, most - 1)),
        sequence(below, _exponents(most, most)),
    )


def _exponents(low: int, high: int) -> Node:
    """`e` or `E` and an exponent from low to high, its sign optional where it is plus, one leading zero allowed."""
    negative = _padded(max(1, -high), -low) if low < 0 else NOTHING
    positive = _padded(max(0, low), high)
    return sequence(
        Chars(((0x45, 0x45), (0x65, 0x65))),
        either(sequence(Text("-"), negative), sequence(optional(Text("+")), positive)),
    )


def _padded(low: int, high: int) -> Node:
    return either(_naturals(low, high), sequence(Text("0"), decimal_digits(low, min(high, 9))))


def _fraction_from(digits: list[int]) -> Node:
    """A point and digits, or nothing, that read as at least 0.digits (no trailing zeros in `digits`)."""
    if not digits:
        return optional(_ANY_FRACTION)
    node = Repeat(_ANY, 0, FRACTION_DIGITS - len(digits)) if len(digits) <= FRACTION_DIGITS else NOTHING
    for place in reversed(range(min(len(digits), FRACTION_DIGITS))):
        more = Repeat(_ANY, 0, FRACTION_DIGITS - place - 1)
        node = either(
            sequence(decimal_digits(digits[place], digits[place]), node),
            sequence(decimal_digits(digits[place] + 1, 9), more),
        )
    return sequence(Text("."), node)


def _fraction_up_to(digits: list[int]) -> Node:
    """A point and digits, or nothing, that read as at most 0.digits (no trailing zeros in `digits`)."""
    if not digits:
        return optional(sequence(Text("."), zeros(1)))
    node = zeros(0) if len(digits) < FRACTION_DIGITS else EMPTY_TEXT
    for place in reversed(range(min(len(digits), FRACTION_DIGITS))):
        more = Repeat(_ANY, 0, FRACTION_DIGITS - place - 1)
        node = either(
            EMPTY_TEXT if place else NOTHING,
            sequence(decimal_digits(digits[place], digits[place]), node),
            sequence(decimal_digits(0, digits[place] - 1), more),
        )
    return optional(sequence(Text("."), node))


def _split(value: Fraction) -> tuple[int, list[int]]:
    """The whole part of an unsigned decimal and the digits after its point, without trailing zeros."""
    places = decimal_places(value)
    whole, rest = divmod(value.numerator * 10**places // value.denominator, 10**places)
    return whole, list(map(int, f"{rest:0{places}d}")) if places else []


def decimal_places(value: Fraction) -> int:
    """Digits after the point of a value that has finitely many."""
    twos = (value.denominator & -value.denominator).bit_length() - 1
    fives, rest = 0, value.denominator >> twos
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    assert rest == 1, "values come from JSON text or doubles, so they are decimals"
    return max(twos, fives)


def _exponent(value: Fraction) -> int:
    """The power of ten of the first digit of a positive value."""
    guess = len(str(value.numerator)) - len(str(value.denominator))
    return guess if Fraction(10) ** guess <= value else guess - 1


def _rounds(value: Fraction, is_beyond: Callable[[Fraction, Fraction], bool]) -> bool:
    """Whether the double of a large integer lies beyond it; decimals are written in schemas as doubles are read."""
    return value.denominator == 1 and abs(value) < LARGEST and is_beyond(Fraction(float(value)), value)


def _next_double(value: Fraction, towards: float) -> Fraction:
    """The next double from a value, as a decimal; past the largest, one above it."""
    if abs(value) >= LARGEST:
        return value + 1 if towards > 0 else value - 1
    return exact(math.nextafter(float(value), towards))
