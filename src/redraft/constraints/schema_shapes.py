"""What a schema says, type by type: statements about values, and the shapes that statements expand to.

A *statement* is a subschema or a combination of some. A *shape* is a set of values of one JSON type, described so that
two shapes of a type can be met (schema_meet.py) exactly. A statement expands to a union of shapes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from redraft.constraints.character_sets import Reader
from redraft.constraints.json_quotients import opinions


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

    def admits(self, value: Fraction, reader: Reader = Reader.ALL) -> bool:
        """Whether everything but `values` lets the value through, to all readers or to any."""
        of_step, of_off_step = (all, any) if reader is Reader.ALL else (any, all)
        return (
            self.whole in (None, value.denominator == 1)
            and (self.low is None or value > self.low or (value == self.low and not self.low_open))
            and (self.high is None or value < self.high or (value == self.high and not self.high_open))
            and all(of_step(opinions(value, step)) for step in self.steps)
            and not any(of_off_step(opinions(value, step)) for step in self.off_steps)
            and value not in self.without
        )


@dataclass(frozen=True)
class StringShape:
    """Strings of `low` to `high` code points; `must` holds ("pattern" or "format", source), `must_not` no formats."""

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
