"""What a schema says, type by type: statements about values, and the shapes that statements expand to.

A *statement* is a subschema or a combination of some. A *shape* is a set of values of one JSON type, described so that
two shapes of a type can be met (intersected) exactly. A statement expands to a union of shapes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TypeVar


@dataclass(frozen=True)
class At:
    """Valid under the subschema at a JSON pointer."""

    pointer: str


@dataclass(frozen=True)
class Ref:
    """Valid under the subschema that a reference leads to."""

    pointer: str


@dataclass(frozen=True)
class Values:
    """Equal to one of the values that these JSON texts spell."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Lacks:
    """Not an object, or one without this key."""

    key: str


@dataclass(frozen=True)
class All:
    """Every part holds; All(()) is always true."""

    parts: tuple["Statement", ...]


@dataclass(frozen=True)
class Some:
    """At least one part holds; Some(()) is never true."""

    parts: tuple["Statement", ...]


@dataclass(frozen=True)
class One:
    """Exactly one part holds."""

    parts: tuple["Statement", ...]


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: "Statement"


Statement = At | Ref | Values | Lacks | All | Some | One | Not
TRUE = All(())
FALSE = Some(())


def all_of(*parts: Statement) -> Statement:
    """The conjunction, nested ones unfolded and repetitions dropped."""
    flat = dict.fromkeys(inner for part in parts for inner in (part.parts if isinstance(part, All) else (part,)))
    return next(iter(flat)) if len(flat) == 1 else All(tuple(flat))


@dataclass(frozen=True)
class LiteralShape:
    """null, true or false. `cost`, in every shape: how often a reference that can recur was followed to get here."""

    text: str
    cost: int = 0


@dataclass(frozen=True)
class NumberShape:
    """Numbers between bounds; `whole`: True integers only, False no integers, None either."""

    whole: bool | None = None
    low: Fraction | None = None
    low_open: bool = False
    high: Fraction | None = None
    high_open: bool = False
    steps: frozenset[Fraction] = frozenset()  # multiples of each of these
    off_steps: frozenset[Fraction] = frozenset()  # multiples of none of these
    values: tuple[Fraction, ...] | None = None  # one of these, all of which fit the rest
    without: frozenset[Fraction] = frozenset()
    cost: int = 0

    def admits(self, value: Fraction) -> bool:
        """Whether everything but `values` lets the value through."""
        return (
            self.whole in (None, value.denominator == 1)
            and (self.low is None or value > self.low or (value == self.low and not self.low_open))
            and (self.high is None or value < self.high or (value == self.high and not self.high_open))
            and all((value / step).denominator == 1 for step in self.steps)
            and all((value / step).denominator != 1 for step in self.off_steps)
            and value not in self.without
        )


@dataclass(frozen=True)
class StringShape:
    """Strings of `low` to `high` code points; `must` and `must_not` hold ("pattern" or "format", source)."""

    low: int = 0
    high: int | None = None
    must: frozenset[tuple[str, str]] = frozenset()
    must_not: frozenset[tuple[str, str]] = frozenset()
    values: tuple[str, ...] | None = None  # one of these, all of which fit the rest
    without: frozenset[str] = frozenset()
    cost: int = 0


@dataclass(frozen=True)
class ItemRule:
    """A statement for each of the first items and one for the rest (None: the schema is silent about them)."""

    prefix: tuple[Statement, ...] = ()
    rest: Statement | None = None

    def about(self, index: int) -> Statement:
        return self.prefix[index] if index < len(self.prefix) else self.rest or TRUE


@dataclass(frozen=True)
class Count:
    """From `low` to `high` items, counting from index `start`, fulfil a statement."""

    statement: Statement
    low: int
    high: int | None = None
    start: int = 0


@dataclass(frozen=True)
class ArrayShape:
    """Arrays of `low` to `high` items under all rules and counts; `distinct`: pointer of the uniqueItems that holds."""

    rules: tuple[ItemRule, ...] = ()
    counts: tuple[Count, ...] = ()
    low: int = 0
    high: int | None = None
    distinct: str | None = None
    cost: int = 0


@dataclass(frozen=True)
class KeyRule:
    """One schema's `properties`, `patternProperties` and `additionalProperties` (None: not written)."""

    properties: tuple[tuple[str, Statement], ...] = ()
    patterns: tuple[tuple[str, Statement], ...] = ()
    additional: Statement | None = None

    def about(self, key: str, fits: Callable[[str, str], bool]) -> Statement | None:
        """What the rule says of the key's value, None where it is silent; `fits(pattern, key)` tries a pattern."""
        said = [self._named[key]] if key in self._named else []
        said += [statement for pattern, statement in self.patterns if fits(pattern, key)]
        return all_of(*said) if said else self.additional

    @cached_property
    def _named(self) -> dict[str, Statement]:
        return dict(self.properties)

    def about_others(self, patterns: set[str]) -> Statement | None:
        """What the rule says of keys without a property that fit just these patterns."""
        said = [statement for pattern, statement in self.patterns if pattern in patterns]
        return all_of(*said) if said else self.additional


@dataclass(frozen=True)
class ObjectShape:
    """Objects of `low` to `high` keys under all rules, that break something in each of `broken`."""

    rules: tuple[KeyRule, ...] = ()
    required: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()
    low: int = 0
    high: int | None = None
    names: tuple[Statement, ...] = ()  # of the keys, as strings
    broken: tuple["ObjectShape", ...] = ()
    pointer: str = ""  # of a schema that says some of this, for messages
    cost: int = 0


Shape = LiteralShape | NumberShape | StringShape | ArrayShape | ObjectShape
FREE: tuple[Shape, ...] = (
    ObjectShape(),
    ArrayShape(),
    StringShape(),
    NumberShape(),
    LiteralShape("true"),
    LiteralShape("false"),
    LiteralShape("null"),
)
"""The shapes of any value at all."""

T = TypeVar("T")
StringTest = Callable[[StringShape, str], bool]


def meet(first: Shape, second: Shape, admits: StringTest) -> Shape | None:
    """The values in both shapes; None where there are plainly none. `admits`: whether a shape lets a string through."""
    if type(first) is not type(second):
        return None
    cost = max(first.cost, second.cost)
    if isinstance(first, LiteralShape) and isinstance(second, LiteralShape):
        return replace(first, cost=cost) if first.text == second.text else None
    if isinstance(first, NumberShape) and isinstance(second, NumberShape):
        return _meet_numbers(first, second, cost)
    if isinstance(first, StringShape) and isinstance(second, StringShape):
        return _meet_strings(first, second, cost, admits)
    if isinstance(first, ArrayShape) and isinstance(second, ArrayShape):
        return _meet_arrays(first, second, cost)
    assert isinstance(first, ObjectShape) and isinstance(second, ObjectShape)
    return _meet_objects(first, second, cost)


def _meet_numbers(first: NumberShape, second: NumberShape, cost: int) -> NumberShape | None:
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
    fitting = tuple(value for value in values if met.admits(value))
    return replace(met, values=fitting) if fitting else None


def _meet_strings(first: StringShape, second: StringShape, cost: int, admits: StringTest) -> StringShape | None:
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
