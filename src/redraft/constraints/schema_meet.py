"""Intersections of shapes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from redraft.constraints.schema_shapes import ArrayShape, LiteralShape, NumberShape, ObjectShape, Shape, StringShape

T = TypeVar("T")
Test = Callable[[StringShape | NumberShape, Any], bool]


def meet(first: Shape, second: Shape, admits: Test) -> Shape | None:
    """The values in both shapes; None where there are plainly none. `admits`: whether a shape lets a value through."""
    if type(first) is not type(second):
        return None
    cost = max(first.cost, second.cost)
    if isinstance(first, LiteralShape) and isinstance(second, LiteralShape):
        return replace(first, cost=cost) if first.text == second.text else None
    if isinstance(first, NumberShape) and isinstance(second, NumberShape):
        return _meet_numbers(first, second, cost, admits)
    if isinstance(first, StringShape) and isinstance(second, StringShape):
        return _meet_strings(first, second, cost, admits)
    if isinstance(first, ArrayShape) and isinstance(second, ArrayShape):
        return _meet_arrays(first, second, cost)
    assert isinstance(first, ObjectShape) and isinstance(second, ObjectShape)
    return _meet_objects(first, second, cost)


def _meet_numbers(first: NumberShape, second: NumberShape, cost: int, admits: Test) -> NumberShape | None:
    if {first.whole, second.whole} == {True, False}:
        return None
    lows = [(shape.low, shape.low_open) for shape in (first, second) if shape.low is not None]
    highs = [(shape.high, not shape.high_open) for shape in (first, second) if shape.high is not None]
    low, low_open = max(lows, default=(None, False))
    high, high_closed = min(highs, default=(None, True))
    if low is not None and high is not None and (low > high or (low == high and (low_open or not high_closed))):
        return None
    met = NumberShape(
        whole=second.whole if first.whole is None else first.whole,
        low=low,
        low_open=low_open,
        high=high,
        high_open=not high_closed,
        steps=first.steps | second.steps,
        off_steps=first.off_steps | second.off_steps,
        without=first.without | second.without,
        cost=cost,
    )
    values = _common_values(first.values, second.values)
    if values is None:
        return met
    fitting = tuple(value for value in values if admits(met, value))
    return replace(met, values=fitting) if fitting else None


def _meet_strings(first: StringShape, second: StringShape, cost: int, admits: Test) -> StringShape | None:
    high = _lower(first.high, second.high)
    met = StringShape(
        low=max(first.low, second.low),
        high=high,
        must=first.must | second.must,
        must_not=first.must_not | second.must_not,
        without=first.without | second.without,
        cost=cost,
    )
    if met.must & met.must_not or (high is not None and met.low > high):
        return None
    values = _common_values(first.values, second.values)
    if values is None:
        return met
    fitting = tuple(value for value in values if admits(met, value))
    return replace(met, values=fitting) if fitting else None


def _meet_arrays(first: ArrayShape, second: ArrayShape, cost: int) -> ArrayShape | None:
    low, high = max(first.low, second.low), _lower(first.high, second.high)
    if high is not None and low > high:
        return None
    return ArrayShape(
        rules=_merged(first.rules, second.rules),
        counts=_merged(first.counts, second.counts),
        low=low,
        high=high,
        distinct=first.distinct or second.distinct,
        cost=cost,
    )


def _meet_objects(first: ObjectShape, second: ObjectShape, cost: int) -> ObjectShape | None:
    met = ObjectShape(
        rules=_merged(first.rules, second.rules),
        required=_merged(first.required, second.required),
        absent=first.absent | second.absent,
        low=max(first.low, second.low),
        high=_lower(first.high, second.high),
        names=_merged(first.names, second.names),
        broken=_merged(first.broken, second.broken),
        pointer=first.pointer or second.pointer,
        cost=cost,
    )
    most = met.high if met.high is not None else max(met.low, len(met.required))
    return None if met.absent.intersection(met.required) or max(met.low, len(met.required)) > most else met


def _merged(first: tuple[T, ...], second: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(first + second))


def _common_values(first: tuple[T, ...] | None, second: tuple[T, ...] | None) -> tuple[T, ...] | None:
    if first is None or second is None:
        return second if first is None else first
    kept = set(second)
    return tuple(value for value in first if value in kept)


def _lower(first: int | None, second: int | None) -> int | None:
    return min((bound for bound in (first, second) if bound is not None), default=None)
