"""From statements to shapes: references and the logic of allOf, anyOf, oneOf, not and if."""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from functools import cached_property

from redraft.constraints.character_sets import Reader
from redraft.constraints.limits import Meter
from redraft.constraints.schema_assertions import Assertions, shapes_besides, shapes_of_values, violations
from redraft.constraints.schema_document import SchemaDocument, refuse
from redraft.constraints.schema_meet import meet
from redraft.constraints.schema_shapes import (
    FREE,
    TRUE,
    All,
    ArrayShape,
    At,
    ItemRule,
    KeyRule,
    Lacks,
    LiteralShape,
    Not,
    NumberShape,
    ObjectShape,
    One,
    Ref,
    Shape,
    Some,
    Statement,
    StringShape,
    Values,
    all_of,
)
from redraft.constraints.schema_strings import StringLanguages
from redraft.errors import InvalidRequest

MAX_ALTERNATIVES = 300  # shapes of one statement
MAX_MEETINGS = 100_000  # pairs of shapes met in all
MAX_NESTING = 60  # statements that open one another before a container


class _CircularStatementError(InvalidRequest):
    """A statement opens itself, or too many others."""


class Expander:
    """Unions of shapes for the statements of one document, each made once.

    Readers of a schema disagree about some values: a format may be an annotation, classes of a pattern may be Unicode,
    a quotient may be rounded. The values here are those that all of them take; to the reader ANY, what any of them may.
    """

    def __init__(self, document: SchemaDocument, meter: Meter, reader: Reader = Reader.ALL):
        self.languages = StringLanguages(meter)
        self._meter = meter
        self._document = document
        self._reader = reader
        self._assertions = Assertions(document, self.languages)
        self._known: dict[Statement, tuple[Shape, ...]] = {}
        self._open: dict[Statement, None] = {}
        self._num_meetings = 0

    def shapes(self, statement: Statement) -> tuple[Shape, ...]:
        """Shapes whose union is the values that fulfil the statement, ordered as the schema is written."""
        if statement not in self._known:
            if statement in self._open or len(self._open) > MAX_NESTING:
                why = "refers to itself, or too far, without an object or array between"
                raise _CircularStatementError(str(refuse(self._place(), why)))
            self._open[statement] = None
            self._known[statement] = tuple(dict.fromkeys(self._expand(statement)))
            del self._open[statement]
        return self._known[statement]

    def _place(self) -> str:
        """The pointer of the innermost subschema being expanded."""
        return next((statement.pointer for statement in reversed(self._open) if isinstance(statement, At)), "")

    def _expand(self, statement: Statement) -> Iterable[Shape]:
        match statement:
            case At(pointer):
                return self._subschema(pointer)
            case Ref(pointer):
                return self._behind_reference(At(pointer), pointer)
            case Values(texts):
                return shapes_of_values(texts)
            case Lacks(key):
                return (ObjectShape(absent=frozenset([key])), *FREE[1:])
            case All(parts):
                return self._meet_all(FREE, parts)
            case Some(parts):
                return self._union(parts)
            case One(parts):
                return self._exactly_one(parts)
            case Not(part):
                return self._negation(part)

    def _negation(self, part: Statement) -> Iterable[Shape]:
        match part:
            case At(pointer):
                return self._negated_subschema(pointer)
            case Ref(pointer):
                return self._behind_reference(Not(At(pointer)), pointer)
            case Values(texts):
                return self._all_but(texts)
            case Lacks(key):
                return [ObjectShape(required=(key,))]
            case All(parts):
                return self._union(tuple(map(Not, parts)))
            case Some(parts):
                return self._meet_all(FREE, tuple(map(Not, parts)))
            case One(parts):
                pairs = [all_of(first, second) for i, first in enumerate(parts) for second in parts[:i]]
                return self._union((all_of(*map(Not, parts)), *pairs))
            case Not(inner):
                return self.shapes(inner)

    def _subschema(self, pointer: str) -> Iterable[Shape]:
        schema = self._document.at(pointer)
        if isinstance(schema, bool):
            return FREE if schema else ()
        is_ref = self._document.follows_only_ref(schema)
        own = (
            FREE if is_ref else self._meet_shapes(self._assertions.shapes(pointer), FREE)
        )  # drops what contradicts itself
        statements = self._assertions.statements(pointer)
        found = self._meet_all(own, statements[:1] if is_ref else statements)
        for keyword in ("unevaluatedProperties", "unevaluatedItems"):
            if keyword in schema and not is_ref:
                found = [_unevaluated(shape, keyword, At(f"{pointer}/{keyword}")) for shape in found]
        return found

    def _negated_subschema(self, pointer: str) -> Iterable[Shape]:
        schema = self._document.at(pointer)
        if isinstance(schema, bool):
            return () if schema else FREE
        statements = self._assertions.statements(pointer)
        if self._document.follows_only_ref(schema):
            return self.shapes(Not(statements[0]))
        found = list(shapes_besides(schema))
        for shape in self._assertions.shapes(pointer):
            self._check_negation(pointer, schema, shape)
            found.extend(violations(shape))
        return [*found, *self._union(tuple(map(Not, statements)))]

    def _check_negation(self, pointer: str, schema: dict, shape: Shape) -> None:
        for keyword in ("unevaluatedProperties", "unevaluatedItems"):
            if keyword in schema:
                raise refuse(f"{pointer}/{keyword}", "is not supported under not, oneOf or if")
        if isinstance(shape, ArrayShape) and shape.distinct:
            raise refuse(shape.distinct, "is not supported under not, oneOf or if")
        if isinstance(shape, StringShape) and any(kind == "format" for kind, _ in shape.must):
            why = "is not supported under not, oneOf or if: for whom formats are annotations nothing breaks it"
            raise refuse(f"{pointer}/format", why)

    def _behind_reference(self, statement: Statement, pointer: str) -> Iterable[Shape]:
        """The shapes, with a cost for the containers of a reference that can recur: only they can go deeper."""
        shapes = self.shapes(statement)
        if not self._document.is_recursive(pointer):
            return shapes
        return [
            replace(shape, cost=shape.cost + 1) if isinstance(shape, ObjectShape | ArrayShape) else shape
            for shape in shapes
        ]

    def _all_but(self, texts: tuple[str, ...]) -> Iterable[Shape]:
        """Every value but those that the JSON texts spell."""
        found = list(FREE)
        for shape in shapes_of_values(texts):
            match shape:
                case StringShape():
                    others: list[Shape] = [StringShape(without=frozenset(shape.values or ()))]
                case NumberShape():
                    others = [NumberShape(without=frozenset(shape.values or ()))]
                case LiteralShape():
                    others = []
                case _:
                    others = violations(shape)
            others += [free for free in FREE if type(free) is not type(shape)]
            if isinstance(shape, LiteralShape):
                others += [free for free in FREE if isinstance(free, LiteralShape) and free != shape]
            found = self._meet_shapes(found, others)
        return found

    def _union(self, parts: tuple[Statement, ...]) -> list[Shape]:
        found = dict.fromkeys(shape for part in parts for shape in self.shapes(part))
        self._check_size(len(found))
        return list(found)

    def _exactly_one(self, parts: tuple[Statement, ...]) -> list[Shape]:
        """Each part without those others that can hold beside it."""
        found: dict[Shape, None] = {}
        for i, part in enumerate(parts):
            others = [other for j, other in enumerate(parts) if j != i and self.to_any.may_hold(all_of(part, other))]
            found.update(dict.fromkeys(self.shapes(all_of(part, *map(Not, others)))))
            self._check_size(len(found))
        return list(found)

    @cached_property
    def to_any(self) -> "Expander":
        """The same document to the reader ANY: what it says cannot be, cannot be to anyone."""
        return self if self._reader is Reader.ANY else Expander(self._document, self._meter, Reader.ANY)

    def admits(self, shape: StringShape | NumberShape, value: str | Fraction) -> bool:
        """Whether everything but the shape's `values` lets a value of its type through, to this reader."""
        if isinstance(shape, NumberShape):
            return shape.admits(Fraction(value), self._reader)
        return self.languages.admits(shape, str(value), self._reader)

    def may_hold(self, statement: Statement) -> bool:
        """False only where the statement plainly has no values: types, constants, or required keys disagree."""
        return any(map(self._may_exist, self.shapes(statement)))

    def _may_exist(self, shape: Shape) -> bool:
        """False only where a shape has a required key or a first item that no value fits."""
        wanted: list[Statement] = []
        if isinstance(shape, ObjectShape):
            wanted = [self.value_of(shape, key) for key in shape.required]
        elif isinstance(shape, ArrayShape):
            wanted = [all_of(*(rule.about(i) for rule in shape.rules)) for i in range(min(shape.low, MAX_NESTING))]
        open_before = dict(self._open)
        try:
            return all(map(self.shapes, wanted))
        except _CircularStatementError:
            self._open = open_before
            return True

    def value_of(self, shape: ObjectShape, key: str) -> Statement:
        """What a shape's rules together say of the value of a key."""
        return all_of(*(rule.about(key, self.languages.fits) or TRUE for rule in shape.rules))

    def _meet_all(self, shapes: Iterable[Shape], parts: Iterable[Statement]) -> Iterable[Shape]:
        for part in parts:
            shapes = self._meet_shapes(shapes, self.shapes(part))
        return shapes

    def _meet_shapes(self, first: Iterable[Shape], second: Iterable[Shape]) -> list[Shape]:
        second = list(second)
        found: dict[Shape, None] = {}
        for one in first:
            peers = [other for other in second if type(other) is type(one)]
            self._num_meetings += len(peers)
            self._meter.check_time()
            if self._num_meetings > MAX_MEETINGS:
                raise refuse(self._place(), f"combines more than {MAX_MEETINGS:,} pairs of alternatives, the limit")
            met = (meet(one, other, self.admits) for other in peers)
            found.update(dict.fromkeys(shape for shape in met if shape is not None))
            self._check_size(len(found))
        return list(found)

    def _check_size(self, num_shapes: int) -> None:
        if num_shapes > MAX_ALTERNATIVES:
            raise refuse(self._place(), f"has more than {MAX_ALTERNATIVES} alternatives, the limit")


def _unevaluated(shape: Shape, keyword: str, statement: Statement) -> Shape:
    """The shape with a statement about the keys or items that none of its own rules is about."""
    if isinstance(shape, ObjectShape) and keyword == "unevaluatedProperties":
        if any(rule.additional is not None for rule in shape.rules):
            return shape
        known = KeyRule(
            tuple((key, TRUE) for rule in shape.rules for key, _ in rule.properties),
            tuple((pattern, TRUE) for rule in shape.rules for pattern, _ in rule.patterns),
            statement,
        )
        return replace(shape, rules=(*shape.rules, known))
    if isinstance(shape, ArrayShape) and keyword == "unevaluatedItems":
        if any(rule.rest is not None for rule in shape.rules):
            return shape
        longest = max((len(rule.prefix) for rule in shape.rules), default=0)
        return replace(shape, rules=(*shape.rules, ItemRule((TRUE,) * longest, statement)))
    return shape
