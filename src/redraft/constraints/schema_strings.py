"""Languages of strings under a schema's pattern, format, length and values."""

from redraft.constraints.automaton import ByteAutomaton, compile_tree
from redraft.constraints.character_sets import Reader
from redraft.constraints.combine import either
from redraft.constraints.json_formats import format_language
from redraft.constraints.json_strings import ANY_CHARACTER, ANY_STRING, FREE_STRING, Speller
from redraft.constraints.limits import Meter
from redraft.constraints.regex import parse
from redraft.constraints.schema_document import refuse
from redraft.constraints.schema_shapes import StringShape
from redraft.constraints.tree import Both, Minus, Node, Repeat, Text
from redraft.errors import InvalidRequest

ESCAPED_LENGTH = 32  # bounded longer than this, non-ASCII characters are only written as they are: fewer states


class StringLanguages:
    """Patterns and formats as trees over decoded characters, each made once; `meter` bounds what trying them costs."""

    def __init__(self, meter: Meter):
        self._meter = meter
        self._nodes: dict[tuple[str, str, Reader], Node] = {}
        self._automata: dict[tuple[str, str, Reader], ByteAutomaton] = {}
        self._spellers = {True: Speller(True), False: Speller(False)}

    def pattern(self, pointer: str, source: str) -> tuple[str, str]:
        """How shapes name the pattern written at a pointer; InvalidRequest where it is not supported."""
        key = ("pattern", source)
        try:
            self._node(key, Reader.ALL)
        except InvalidRequest as error:
            raise refuse(pointer, str(error)) from error
        return key

    def admits(self, shape: StringShape, text: str, reader: Reader = Reader.ALL) -> bool:
        """Whether everything but the shape's `values` lets the text through, to all readers or to any."""
        return (
            shape.low <= len(text)
            and (shape.high is None or len(text) <= shape.high)
            and text not in shape.without
            and all(self._fits(key, text, reader) for key in shape.must)
            and not any(self._fits(key, text, reader.opposite) for key in shape.must_not)
        )

    def fits(self, pattern: str, text: str) -> bool:
        """Whether a pattern is found in the text; InvalidRequest where readers disagree."""
        found = {self._fits(("pattern", pattern), text, reader) for reader in (Reader.ALL, Reader.ANY)}
        if len(found) > 1:
            raise refuse("", f"whether the pattern {pattern!r} is found in {text!r} depends on who reads it")
        return found.pop()

    def _fits(self, key: tuple[str, str], text: str, reader: Reader) -> bool:
        """Whether the text fits; a format is an annotation to some readers, so that any text may fit it."""
        if reader is Reader.ANY and key[0] == "format":
            return True
        return self._automaton(key, reader).matches(text.encode())

    def decoded(self, shape: StringShape) -> Node:
        """The strings of a shape, over decoded characters."""
        if shape.values is not None:
            return either(*map(Text, shape.values))
        parts = [self._node(key, Reader.ALL) for key in sorted(shape.must)]
        if shape.low or shape.high is not None:
            parts.append(Repeat(ANY_CHARACTER, shape.low, shape.high))
        node = parts[0] if parts else ANY_STRING
        for part in parts[1:]:
            node = Both(node, part)
        for key in sorted(shape.must_not):
            node = Minus(node, self._node(key, Reader.ANY))
        return Minus(node, either(*map(Text, sorted(shape.without)))) if shape.without else node

    def quoted(self, node: Node, high: int | None = None) -> Node:
        """The JSON texts of decoded strings of at most `high` code points."""
        return self._spellers[high is None or high <= ESCAPED_LENGTH].quoted(node)

    def written(self, shape: StringShape) -> Node:
        """The JSON texts of the strings of a shape."""
        if shape == StringShape(cost=shape.cost):
            return FREE_STRING
        return self.quoted(self.decoded(shape), shape.high)

    def _node(self, key: tuple[str, str], reader: Reader) -> Node:
        if (*key, reader) not in self._nodes:
            kind, source = key
            self._nodes[*key, reader] = parse(source, reader) if kind == "pattern" else format_language(source)
        return self._nodes[*key, reader]

    def _automaton(self, key: tuple[str, str], reader: Reader) -> ByteAutomaton:
        if (*key, reader) not in self._automata:
            self._automata[*key, reader] = compile_tree(self._node(key, reader), meter=self._meter)
        return self._automata[*key, reader]
