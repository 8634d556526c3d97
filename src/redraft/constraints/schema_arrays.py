"""The tree of the JSON texts of an array shape."""

from collections.abc import Callable

from redraft.constraints.combine import EMPTY_TEXT, NOTHING, either, optional, sequence
from redraft.constraints.schema_document import refuse
from redraft.constraints.schema_expand import Expander
from redraft.constraints.schema_numbers import number_texts
from redraft.constraints.schema_objects import COMMA
from redraft.constraints.schema_shapes import (
    ArrayShape,
    Count,
    LiteralShape,
    Not,
    NumberShape,
    Statement,
    StringShape,
    all_of,
)
from redraft.constraints.tree import Both, Node, Repeat, Text

MAX_DISTINCT = 8  # values that uniqueItems may tell apart: it takes a state per subset of them


class ArrayWriter:
    """The tree of one array shape; `write` makes the tree of an item's texts from its statement."""

    def __init__(self, shape: ArrayShape, expander: Expander, write: Callable[[Statement], Node]):
        self._shape = shape
        self._expander = expander
        self._write = write
        self._num_first = max((len(rule.prefix) for rule in shape.rules), default=0)

    def node(self) -> Node:
        shape = self._shape
        if shape.distinct and (shape.high is None or shape.high > 1):
            tree = self._distinct_items()
        else:
            nodes = [self._write(self._about(i)) for i in range(self._num_first + 1)]
            tree = _in_order(nodes[:-1], nodes[-1], shape.low, shape.high)
        tree = sequence(Text("["), tree, Text("]"))
        for count in shape.counts:
            tree = Both(tree, self._counting(count))
        return tree

    def _about(self, index: int) -> Statement:
        return all_of(*(rule.about(index) for rule in self._shape.rules))

    def _counting(self, count: Count) -> Node:
        """Arrays of this shape's items of which some fulfil the count's statement; lengths are left to the caller."""
        places = [self._about(i) for i in range(self._num_first + 1)]
        any_item = either(*map(self._write, places))
        wanted = either(*(self._write(all_of(place, count.statement)) for place in places))
        parts = [_at_least(any_item, wanted, count)] if count.low else []
        if count.high is not None:
            unwanted = either(*(self._write(all_of(place, Not(count.statement))) for place in places))
            parts.append(_at_most(any_item, unwanted, count.high))
        tree = parts[0] if len(parts) == 1 else Both(parts[0], parts[1])
        return sequence(Text("["), tree, Text("]"))

    def _distinct_items(self) -> Node:
        """Items all different, where few values are possible; built from the subsets already used."""
        shape = self._shape
        by_place = [self._possible_texts(self._about(i)) for i in range(self._num_first + 1)]
        values = dict.fromkeys(value for place in by_place for value in place)
        if len(values) > MAX_DISTINCT:
            raise refuse(shape.distinct or "", f"items have {len(values)} values, the limit is {MAX_DISTINCT}")
        nodes: dict[frozenset[str], Node] = {}

        def after(used: frozenset[str]) -> Node:
            if used not in nodes:
                end = EMPTY_TEXT if len(used) >= shape.low else NOTHING
                place = (
                    by_place[min(len(used), self._num_first)] if shape.high is None or len(used) < shape.high else {}
                )
                comma = COMMA if used else EMPTY_TEXT
                options = [sequence(comma, node, after(used | {v})) for v, node in place.items() if v not in used]
                nodes[used] = either(end, *options)
            return nodes[used]

        return after(frozenset())

    def _possible_texts(self, statement: Statement) -> dict[str, Node]:
        """Each possible value of an item and the tree of its texts; refused where they are not listed by the schema."""
        found: dict[str, Node] = {}
        for shape in self._expander.shapes(statement):
            match shape:
                case LiteralShape():
                    found[shape.text] = Text(shape.text)
                case StringShape() if shape.values is not None:
                    languages = self._expander.languages
                    found.update((repr(value), languages.quoted(Text(value))) for value in shape.values)
                case NumberShape() if shape.values is not None:
                    found.update((str(value), either(*number_texts(value, shape.whole))) for value in shape.values)
                case _:
                    why = (
                        "items are not a short list of values; that no two are equal is more than an automaton can tell"
                    )
                    raise refuse(self._shape.distinct or "", why)
        return found


def _in_order(first: list[Node], rest: Node, low: int, high: int | None) -> Node:
    """Items at their places, `low` to `high` of them, commas between."""
    if high is not None:
        first = first[:high]
    num_first = len(first)
    more = None if high is None else high - num_first
    if more == 0:
        node = EMPTY_TEXT if low <= num_first else NOTHING
    elif num_first:
        node = _repeated(sequence(COMMA, rest), max(low - num_first, 0), more)
    else:
        many = sequence(rest, _repeated(sequence(COMMA, rest), max(low - 1, 0), None if more is None else more - 1))
        node = many if low else optional(many)
    for place in reversed(range(num_first)):
        node = sequence(COMMA if place else EMPTY_TEXT, first[place], node)
        node = node if place < low else optional(node)
    return node


def _repeated(node: Node, low: int, high: int | None) -> Node:
    if node is NOTHING or high == 0:
        return NOTHING if low else EMPTY_TEXT
    return Repeat(node, low, high)


def _at_least(any_item: Node, wanted: Node, count: Count) -> Node:
    """Lists of which at least `count.low` items after the first `count.start` are wanted ones."""
    before = _repeated(sequence(any_item, COMMA), count.start, None)
    again = sequence(_repeated(sequence(COMMA, any_item), 0, None), COMMA, wanted)
    after = _repeated(sequence(COMMA, any_item), 0, None)
    return sequence(before, wanted, _repeated(again, count.low - 1, count.low - 1), after)


def _at_most(any_item: Node, unwanted: Node, high: int) -> Node:
    """Lists of which all items but `high` are unwanted ones."""
    run = _repeated(sequence(COMMA, unwanted), 0, None)
    hit = sequence(COMMA, any_item, run)
    starts_with_hit = sequence(any_item, run, _repeated(hit, 0, high - 1)) if high else NOTHING
    return optional(either(sequence(unwanted, run, _repeated(hit, 0, high)), starts_with_hit))
