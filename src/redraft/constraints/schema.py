"""JSON Schema -> syntax tree of the JSON texts that are generated for it.

The language is a subset of the schema's valid instances, never more. It holds, for each of them, the texts that
json.dumps writes (at most one space after `,` and `:`, none elsewhere), where

- declared keys come in schema order (a schema's own before those of its allOf, anyOf, ...), then keys that are required
  but declared nowhere, then others in any order where additionalProperties or patternProperties is written; a schema
  that says nothing about keys allows any;
- objects and arrays behind a reference that can recur, and those of free-form values, nest `max_depth` deep together;
- where maxLength, maxItems and maxProperties together take too many states to count, only strings, arrays and objects
  up to one of LOWERED are generated, and SchemaLanguage says which;
- numbers are written as json_numbers.py says, strings as json_strings.py does, formats as json_formats.py.

Keywords that JSON Schema does not define assert nothing, as the standard has it. What cannot be kept exactly is
refused, by JSON pointer.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from redraft.constraints.combine import NOTHING, either, optional, sequence
from redraft.constraints.json_numbers import JSON_NUMBER
from redraft.constraints.json_strings import FREE_STRING
from redraft.constraints.limits import Limits, Meter
from redraft.constraints.schema_arrays import ArrayWriter
from redraft.constraints.schema_document import SchemaDocument, refuse
from redraft.constraints.schema_expand import Expander
from redraft.constraints.schema_numbers import written_numbers
from redraft.constraints.schema_objects import COLON, COMMA, ObjectWriter
from redraft.constraints.schema_shapes import (
    FREE,
    TRUE,
    ArrayShape,
    At,
    LiteralShape,
    NumberShape,
    ObjectShape,
    Shape,
    Statement,
    StringShape,
)
from redraft.constraints.sharing import text_sizes
from redraft.constraints.tree import Node, Repeat, Text
from redraft.errors import InvalidRequest

MAX_LEVELS = 48  # containers inside one another in the language, free-form values apart
COMFORTABLE_SIZE = 15_000  # states, by rough count, of the tree written out; above it, long strings are cut short
_Bounded = TypeVar("_Bounded", StringShape, ArrayShape, ObjectShape)


@dataclass(frozen=True)
class Bounds:
    """How far a schema's upper bounds are counted: code points, items or unnamed keys; None all the way."""

    length: int | None = None
    items: int | None = None

    def lower(self, shape: _Bounded) -> _Bounded:
        """The shape with its upper bound lowered to this one, never below its lower bound."""
        most = self.length if isinstance(shape, StringShape) else self.items
        if most is not None and isinstance(shape, ObjectShape):
            most += len(shape.required) + sum(len(rule.properties) for rule in shape.rules)
        if shape.high is None or most is None or shape.high <= most:
            return shape
        return replace(shape, high=max(shape.low, most))


LOWERED = (Bounds(1024, 64), Bounds(512, 32), Bounds(256, 16), Bounds(128, 8), Bounds(64, 8))


@dataclass(frozen=True)
class SchemaLanguage:
    """The tree of a schema's texts, the bounds it was held to, and what of the schema they cut short."""

    tree: Node
    bounds: Bounds
    lowered: frozenset[type[Shape]] = frozenset()

    @property
    def cuts(self) -> tuple[str, ...]:
        """What ends earlier than the schema says, in words."""
        words = (
            (StringShape, f"strings end at {self.bounds.length} characters"),
            (ArrayShape, f"arrays end at {self.bounds.items} items"),
            (ObjectShape, f"objects end at {self.bounds.items} keys that the schema does not name"),
        )
        return tuple(text for kind, text in words if kind in self.lowered)


def schema_tree(schema: Any, max_depth: int = 4) -> Node:
    """The tree of `schema_language`."""
    return schema_language(schema, max_depth).tree


def schema_language(schema: Any, max_depth: int = 4) -> SchemaLanguage:
    """The JSON texts generated for a schema (an object, true or false, as json.loads gives it).

    InvalidRequest, with the JSON pointer, where the schema is not valid or not supported. The language may be empty.
    """
    if not isinstance(max_depth, int) or isinstance(max_depth, bool) or max_depth < 0:
        raise InvalidRequest(f"max_depth is {max_depth!r}, must be a whole number, 0 or more")
    meter = Meter(Limits())
    expander = Expander(SchemaDocument(schema), meter)

    def under(bounds: Bounds) -> tuple[SchemaLanguage, float]:
        writer = _TreeWriter(expander, bounds, meter)
        tree = writer.node(At(""), max_depth)
        return SchemaLanguage(tree, bounds, frozenset(writer.lowered)), text_sizes(tree)[id(tree)]

    (whole, whole_size), (smallest, smallest_size) = under(Bounds()), under(LOWERED[-1])
    if whole_size <= COMFORTABLE_SIZE or smallest_size == whole_size:
        return whole
    larger = (language for language, size in map(under, LOWERED[:-1]) if size <= COMFORTABLE_SIZE)
    return next(larger, smallest)


class _TreeWriter:
    """Trees of statements at a depth left for recursion and free-form values; equal ones are one object."""

    def __init__(self, expander: Expander, bounds: Bounds, meter: Meter):
        self._expander = expander
        self._meter = meter
        self._bounds = bounds
        self._nodes: dict[tuple[Statement, int], Node] = {}
        self._shape_nodes: dict[tuple[Shape, int], Node] = {}
        self._free_nodes: dict[int, Node] = {}
        self._level = 0
        self.lowered: set[type[Shape]] = set()  # kinds of shapes that the bounds cut short

    def node(self, statement: Statement, depth: int) -> Node:
        """The texts of the values that fulfil a statement. TRUE is what a schema does not mention: one level deeper."""
        depth -= statement == TRUE
        if depth < 0:
            return NOTHING
        if (statement, depth) not in self._nodes:
            self._level += 1
            if self._level > MAX_LEVELS:
                where = statement.pointer if isinstance(statement, At) else ""
                raise refuse(where, f"is more than {MAX_LEVELS} levels inside the value, the limit")
            self._meter.check_time()
            shapes = self._expander.shapes(statement)
            is_free = shapes == FREE
            self._nodes[statement, depth] = (
                self._free(depth) if is_free else either(*(self._at(s, depth) for s in shapes))
            )
            self._level -= 1
        return self._nodes[statement, depth]

    def _at(self, shape: Shape, depth: int) -> Node:
        key = (replace(shape, cost=0), depth - shape.cost)
        if key[1] < 0:
            return NOTHING
        if key not in self._shape_nodes:
            self._shape_nodes[key] = self._shape(*key)
        return self._shape_nodes[key]

    def _shape(self, shape: Shape, depth: int) -> Node:
        def write(statement: Statement) -> Node:
            return self.node(statement, depth)

        match shape:
            case LiteralShape(text):
                return Text(text)
            case NumberShape():
                return written_numbers(shape)
            case StringShape():
                return self._expander.languages.written(self._lower(shape))
            case ArrayShape():
                return ArrayWriter(self._lower(shape), self._expander, write).node()
            case ObjectShape():
                return ObjectWriter(self._lower(shape), self._expander, write).node()

    def _lower(self, shape: _Bounded) -> _Bounded:
        """The shape within the bounds; notes where they cut it short."""
        lowered = self._bounds.lower(shape)
        if lowered != shape:
            self.lowered.add(type(shape))
        return lowered

    def _free(self, depth: int) -> Node:
        if depth not in self._free_nodes:
            self._free_nodes[depth] = self._any_value(depth)
        return self._free_nodes[depth]

    def _any_value(self, depth: int) -> Node:
        inner = self.node(TRUE, depth)
        member = sequence(FREE_STRING, COLON, inner)
        return either(
            FREE_STRING,
            JSON_NUMBER,
            *map(Text, ("true", "false", "null")),
            sequence(Text("["), _list(inner), Text("]")),
            sequence(Text("{"), _list(member), Text("}")),
        )


def _list(item: Node) -> Node:
    return optional(sequence(item, Repeat(sequence(COMMA, item), 0, None)))
