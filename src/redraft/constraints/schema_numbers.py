"""The tree of the JSON texts of a number shape."""

import math
from fractions import Fraction

from redraft.constraints.combine import either
from redraft.constraints.json_multiples import multiples
from redraft.constraints.json_numbers import near, numbers, short_numbers, spellings, whole_numbers, whole_values
from redraft.constraints.json_quotients import undisputed_multiples
from redraft.constraints.schema_document import refuse
from redraft.constraints.schema_shapes import NumberShape
from redraft.constraints.tree import Both, Minus, Node, Text

MAX_EXCLUDED = 50  # numbers left out of an interval one by one, in all their spellings
MAX_LISTED = 200  # multiples between two bounds that are listed one by one


def written_numbers(shape: NumberShape) -> Node:
    """The texts of the numbers of a shape."""
    listed = _listed(shape)
    if listed is not None:
        return either(*(text for value in listed for text in number_texts(value, shape.whole)))
    parts = [_taken(undisputed_multiples(step, shape.whole is True), step) for step in sorted(shape.steps)]
    if shape.whole is False or shape.off_steps:
        parts.append(short_numbers())
    is_bounded = shape.low is not None or shape.high is not None
    if is_bounded or not parts:
        parts.append(_between(shape))
    node = parts[0]
    for part in parts[1:]:
        node = Both(node, part)
    unwanted = [_taken(multiples(step, False), step) for step in sorted(shape.off_steps)]
    unwanted += [whole_values()] if shape.whole is False else []
    if shape.whole is True:
        unwanted += [text for value in sorted(shape.without) for text in number_texts(value, True)]
    elif len(shape.without) > MAX_EXCLUDED:
        raise refuse("", f"{len(shape.without)} numbers are excluded one by one, the limit is {MAX_EXCLUDED}")
    else:
        unwanted += map(near, sorted(shape.without))
    return Minus(node, either(*unwanted)) if unwanted else node


def number_texts(value: Fraction, whole: bool | None) -> list[Node]:
    """The texts of one listed number."""
    return [Text(text) for text in spellings(value, whole is True)]


def check_steps(pointer: str, shape: NumberShape) -> None:
    """Refuses a `multipleOf`, written in the schema at the pointer, that takes too many states."""
    if _listed(shape) is None and any(undisputed_multiples(step, shape.whole is True) is None for step in shape.steps):
        raise refuse(
            f"{pointer}/multipleOf", "takes too many automaton states; with a narrow minimum and maximum it does not"
        )


def _listed(shape: NumberShape) -> tuple[Fraction, ...] | None:
    """The values of a shape where they are few."""
    if shape.values is not None:
        return shape.values
    if shape.low is None or shape.high is None or not shape.steps:
        return None
    step = max(shape.steps)
    first, last = math.ceil(shape.low / step), math.floor(shape.high / step)
    if last - first >= MAX_LISTED:
        return None
    return tuple(step * i for i in range(first, last + 1) if shape.admits(step * i))


def _taken(node: Node | None, step: Fraction) -> Node:
    if node is None:
        raise refuse("", f"multipleOf {step} takes too many automaton states")
    return node


def _between(shape: NumberShape) -> Node:
    if shape.whole is not True:
        return numbers(shape.low, shape.high, shape.low_open, shape.high_open)
    low, high = shape.low, shape.high
    if low is not None and shape.low_open:
        low = Fraction(math.floor(low) + 1)
    if high is not None and shape.high_open:
        high = Fraction(math.ceil(high) - 1)
    return whole_numbers(low, high)
