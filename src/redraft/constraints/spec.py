"""Constraints as their users write them: frozen, hashable values.

All but `Tokens` are languages of texts. Each has a syntax tree, from which the automaton that steers is made; `check`
and `matches` use that same automaton and need no model.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from numbers import Integral
from types import MappingProxyType
from typing import Any

from redraft.constraints.automaton import ByteAutomaton, compile_tree
from redraft.constraints.regex import parse
from redraft.constraints.schema import SchemaLanguage, schema_language
from redraft.constraints.template_text import Hole, parse_template, split_text
from redraft.constraints.tree import Either, FreeTokens, Node, Seq, Text
from redraft.errors import InvalidRequest

GUARDED = 32  # characters of a literal that tell a Free hole before it to end


class TextConstraint:
    """A language of texts."""

    _emptiness = "no text fulfils it"

    @property
    def tree(self) -> Node:
        """The language as a syntax tree; InvalidRequest names what is not supported."""
        raise NotImplementedError

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the language is narrower than what was asked for; for `reply.warnings`."""
        return ()

    @cached_property
    def automaton(self) -> ByteAutomaton:
        """The byte automaton of the language; InvalidRequest where it is empty or too large."""
        automaton = compile_tree(self.tree)
        if automaton.is_empty:
            raise InvalidRequest(f"{type(self).__name__}: {self._emptiness}")
        return automaton

    def check(self) -> None:
        """Compiles without a model; InvalidRequest names what is not supported, or says that no text fulfils it."""
        _ = self.automaton

    def matches(self, text: str) -> bool:
        """Whether the text is in the language; how many tokens a Free hole takes is not asked here."""
        data = _valid_utf8("text", text)
        return data is not None and self.automaton.matches(data)


@dataclass(frozen=True)
class Regex(TextConstraint):
    """Texts that a pattern matches from end to end: Python's `re` syntax, ASCII classes, `.` without newline."""

    pattern: str

    @property
    def tree(self) -> Node:
        return parse(self.pattern)


@dataclass(frozen=True)
class Choice(TextConstraint):
    """Any one of the options."""

    options: Sequence[str]

    def __post_init__(self):
        if not _is_list(self.options) or not self.options or not all(isinstance(text, str) for text in self.options):
            raise InvalidRequest(f"options={self.options!r}: want a list of at least one string")
        object.__setattr__(self, "options", tuple(self.options))

    @property
    def tree(self) -> Node:
        return Either(tuple(map(Text, self.options)))


@dataclass(frozen=True)
class JSONSchema(TextConstraint):
    """JSON texts that fulfil a schema (a dict, True or False), of the language that schema.py describes.

    `max_depth` is how deep recursion and free-form values go. Schemas that differ in the order of their keys differ.
    """

    schema: Any = field(compare=False)
    max_depth: int = 4
    source: str = field(init=False, repr=False)  # the schema in JSON
    _emptiness = "no JSON text fulfils it among those that are generated (docs/constraints.md)"

    def __post_init__(self):
        try:
            source = json.dumps(self.schema, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequest(f"schema={str(self.schema)[:80]!r}: want what JSON can hold ({error})") from error
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "schema", json.loads(source))  # ours alone

    @cached_property
    def _language(self) -> SchemaLanguage:
        return schema_language(self.schema, self.max_depth)

    @property
    def tree(self) -> Node:
        return self._language.tree

    @property
    def warnings(self) -> tuple[str, ...]:
        why = "where the schema allows more, to bound the automaton's size"
        return tuple(f"JSONSchema: {cut} {why}" for cut in self._language.cuts)


@dataclass(frozen=True)
class Free(TextConstraint):
    """Any text in which at most `max_tokens` tokens begin; None: as many as the request's budget allows."""

    max_tokens: int | None = None

    def __post_init__(self):
        if self.max_tokens is not None:
            _check_whole("max_tokens", self.max_tokens, 1)

    @property
    def tree(self) -> Node:
        return FreeTokens(self.max_tokens)


@dataclass(frozen=True)
class Template(TextConstraint):
    """A text with holes `{name}`, each with its own constraint; "{{" and "}}" are braces.

    A Free hole may hold the literal that follows it, too, but for two cases in which the automaton would have to count
    in several places at once: where the literal is longer than GUARDED characters, the hole ends where these first
    appear; and where both this hole and a later one have `max_tokens`, it ends where the literal first appears.
    """

    text: str
    holes: Mapping[str, TextConstraint] = field(default_factory=dict, compare=False)
    _sorted_holes: tuple[tuple[str, TextConstraint], ...] = field(init=False, repr=False)

    def __post_init__(self):
        if not isinstance(self.holes, Mapping):
            raise InvalidRequest(f"holes={self.holes!r}: want a mapping from a hole's name to its constraint")
        used = {part.name for part in parse_template(self.text) if isinstance(part, Hole)}
        for name, hole in self.holes.items():
            _check_hole(f"holes[{name!r}]", hole)
            if name not in used:
                raise InvalidRequest(f"holes[{name!r}]: the template has no such hole, only {sorted(used)}")
        if missing := used - self.holes.keys():
            raise InvalidRequest(f"holes: the template's hole {min(missing)!r} has no constraint")
        object.__setattr__(self, "holes", MappingProxyType(dict(self.holes)))
        object.__setattr__(self, "_sorted_holes", tuple(sorted(self.holes.items())))

    @property
    def tree(self) -> Node:
        return Seq(tuple(tree for _, tree in self._parts(counting=True)))

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(warning for hole in self.holes.values() for warning in hole.warnings))

    def split(self, text: str) -> dict[str, str]:
        """What each hole holds in a text of the language: as short as possible, from the first hole to the last.

        InvalidRequest where the text is not in the language.
        """
        data = _valid_utf8("text", text)
        parts = self._parts(counting=False)
        pieces = [part.encode() if isinstance(part, str) else compile_tree(tree) for part, tree in parts]
        found = None if data is None else split_text(data, pieces)
        if found is None:
            raise InvalidRequest(f"text={text[:80]!r}: want a text that matches the template")
        named = zip(parts, found, strict=True)
        return {part.name: data.decode() for (part, _), data in named if isinstance(part, Hole)}

    def _parts(self, counting: bool) -> list[tuple[str | Hole, Node]]:
        """The template's parts with their trees; Free holes count tokens only where asked to."""
        parts = parse_template(self.text)
        trees = []
        for place, (part, following) in enumerate(pairwise([*parts, ""])):
            hole = None if isinstance(part, str) else self.holes[part.name]
            if hole is None:
                trees.append(Text(str(part)))
            elif isinstance(hole, Free):
                later = (self.holes[other.name] for other in parts[place + 1 :] if isinstance(other, Hole))
                ends_early = _counts_tokens(hole) and any(map(_counts_tokens, later))
                guard = following if isinstance(following, str) and (ends_early or len(following) > GUARDED) else ""
                trees.append(FreeTokens(hole.max_tokens if counting else None, (guard[:GUARDED],) if guard else ()))
            else:
                trees.append(hole.tree)
        return list(zip(parts, trees, strict=True))


@dataclass(frozen=True)
class Infill(TextConstraint):
    """The text of a hole between two others. `before` goes to the prompt, `after` is pinned inside the canvas.

    As a language it is the hole's texts alone: what a reply's `text` holds. How long the hole may be is settled where
    it is laid out, so a Free hole's `max_tokens` is not counted here.
    """

    before: str
    after: str
    hole: TextConstraint = Free()

    def __post_init__(self):
        for name in ("before", "after"):
            if _valid_utf8(name, getattr(self, name)) is None:
                raise InvalidRequest(
                    f"{name}={getattr(self, name)[:80]!r}: want valid Unicode, without lone surrogates"
                )
        _check_hole("hole", self.hole)

    @property
    def tree(self) -> Node:
        return FreeTokens(None) if isinstance(self.hole, Free) else self.hole.tree

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.hole.warnings


@dataclass(frozen=True)
class Tokens:
    """The ids allowed at some positions of the reply (from 0); all other positions are free.

    The reply ends no earlier than its last pinned position, unless what fills it after its end is allowed there.
    """

    positions: Mapping[int, Collection[int]] = field(compare=False)
    _pairs: tuple[tuple[int, tuple[int, ...]], ...] = field(init=False, repr=False)

    def __post_init__(self):
        if not isinstance(self.positions, Mapping) or not self.positions:
            raise InvalidRequest(f"positions={self.positions!r}: want a mapping from a position to a list of token ids")
        for position, ids in self.positions.items():
            _check_whole("a position", position, 0)
            if not isinstance(ids, Collection) or isinstance(ids, str | bytes | Mapping) or not ids:
                raise InvalidRequest(f"positions[{position}]={ids!r}: want a list of at least one token id")
            for token in ids:
                _check_whole(f"positions[{position}]: a token id", token, 0)
        pairs = {int(position): tuple(sorted(set(map(int, ids)))) for position, ids in self.positions.items()}
        object.__setattr__(self, "positions", MappingProxyType(pairs))
        object.__setattr__(self, "_pairs", tuple(sorted(pairs.items())))

    def check(self) -> None:
        """Nothing more to find without a tokenizer: positions and ids were checked when this was made."""

    def matches(self, text: str) -> bool:
        """Not answered: ids are constrained, not text. Always raises InvalidRequest."""
        raise InvalidRequest(f"Tokens.matches({text[:40]!r}): Tokens allows ids, not texts; ask reply.token_ids")


Constraint = TextConstraint | Tokens


def _counts_tokens(hole: TextConstraint) -> bool:
    """Whether a Free hole with max_tokens is in it."""
    if isinstance(hole, Template):
        return any(map(_counts_tokens, hole.holes.values()))
    return isinstance(hole, Free) and hole.max_tokens is not None


def _check_hole(name: str, hole: Any) -> None:
    if not isinstance(hole, TextConstraint) or isinstance(hole, Infill):
        raise InvalidRequest(f"{name}={hole!r}: want Regex, Choice, JSONSchema, Template or Free")


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InvalidRequest(f"{name}={value!r}: want an integer >= {least}")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _valid_utf8(name: str, text: Any) -> bytes | None:
    """The text's bytes; None where it holds a lone surrogate, which no language does."""
    if not isinstance(text, str):
        raise InvalidRequest(f"{name}={text!r}: want a string")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None
