"""Trees put together without needless nodes, and the sets of digits that JSON's numbers and escapes are made of."""

from collections.abc import Callable, Sequence

from redraft.constraints.tree import Chars, Either, Node, Repeat, Seq, Text

EMPTY_TEXT = Text("")
NOTHING = Chars(())


def sequence(*parts: Node) -> Node:
    """The parts one after another; NOTHING if one of them is."""
    if any(part is NOTHING for part in parts):
        return NOTHING
    kept = tuple(part for part in parts if part != EMPTY_TEXT)
    return Seq(kept) if len(kept) > 1 else kept[0] if kept else EMPTY_TEXT


def either(*options: Node) -> Node:
    """Any one of the options; NOTHING where there are none or all are NOTHING."""
    kept = tuple(option for option in options if option is not NOTHING)
    return Either(kept) if len(kept) > 1 else kept[0] if kept else NOTHING


def optional(node: Node) -> Node:
    """The node or the empty string."""
    return EMPTY_TEXT if node is NOTHING else Either((EMPTY_TEXT, node))


def decimal_digits(low: int, high: int) -> Node:
    """One decimal digit from low to high; NOTHING if low > high."""
    return Chars(((0x30 + low, 0x30 + high),)) if low <= high else NOTHING


def hex_digits(low: int, high: int) -> Node:
    """One hexadecimal digit, in either case, of a value from low to high; NOTHING if low > high."""
    if low > high:
        return NOTHING
    ranges = [(0x30 + low, 0x30 + min(high, 9))] if low < 10 else []
    if high >= 10:
        ranges += [(base + max(low, 10) - 10, base + high - 10) for base in (0x41, 0x61)]
    return Chars(tuple(ranges))


DigitSet = Callable[[int, int], Node]


def digits_from(low: Sequence[int], digits: DigitSet, top: int) -> Node:
    """Strings of len(low) digits, each 0 to `top`, that read as at least `low`."""
    node: Node = EMPTY_TEXT
    for place in reversed(range(len(low))):
        node = either(
            sequence(digits(low[place], low[place]), node),
            sequence(digits(low[place] + 1, top), any_digits(len(low) - place - 1, digits, top)),
        )
    return node


def digits_up_to(high: Sequence[int], digits: DigitSet, top: int) -> Node:
    """Strings of len(high) digits, each 0 to `top`, that read as at most `high`."""
    node: Node = EMPTY_TEXT
    for place in reversed(range(len(high))):
        node = either(
            sequence(digits(high[place], high[place]), node),
            sequence(digits(0, high[place] - 1), any_digits(len(high) - place - 1, digits, top)),
        )
    return node


def digits_between(low: Sequence[int], high: Sequence[int], digits: DigitSet, top: int) -> Node:
    """Strings of digits as long as `low` and `high` that read as at least the one and at most the other."""
    common = next((i for i, (a, b) in enumerate(zip(low, high, strict=True)) if a != b), None)
    if common is None:
        return sequence(*(digits(value, value) for value in low))
    num_after = len(low) - common - 1
    return sequence(
        *(digits(value, value) for value in low[:common]),
        either(
            sequence(digits(low[common], low[common]), digits_from(low[common + 1 :], digits, top)),
            sequence(digits(low[common] + 1, high[common] - 1), any_digits(num_after, digits, top)),
            sequence(digits(high[common], high[common]), digits_up_to(high[common + 1 :], digits, top)),
        ),
    )


def any_digits(count: int, digits: DigitSet, top: int) -> Node:
    """Exactly `count` digits of any value."""
    return Repeat(digits(0, top), count, count) if count else EMPTY_TEXT
