"""Syntax trees of regular languages over characters: what regex.py and schema.py produce and automaton.py compiles.

A node denotes a set of strings of Unicode scalar values (plus, through `Special`, single control tokens that have no
text). `automaton.py` lowers characters to their UTF-8 bytes.

Trees share nodes: `schema.py` puts one object in many places (the tail after an optional property, the digits left of
a multiple of 7), so that a tree written out may be exponentially larger than its objects. Whoever walks a tree
remembers results by `id(node)`; the automaton by `(id(node), what follows)`, which builds a shared tail once. Never
hash or compare trees.
"""

from dataclasses import dataclass

MAX_CODE_POINT = 0x10FFFF


@dataclass(frozen=True)
class Text:
    """Exactly this string; Text("") is the empty string."""

    text: str


@dataclass(frozen=True)
class Chars:
    """One character from a set of inclusive code-point ranges, sorted and disjoint, surrogates excluded when lowered.

    Chars(()) is the empty language.
    """

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Seq:
    """The parts one after another."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Either:
    """Any one of the options."""

    options: tuple["Node", ...]


@dataclass(frozen=True)
class Repeat:
    """The node `low` to `high` times; high None means without end."""

    node: "Node"
    low: int
    high: int | None


@dataclass(frozen=True)
class Both:
    """Intersection: strings in `first` and in `second`. Holds no Special and no FreeTokens."""

    first: "Node"
    second: "Node"


@dataclass(frozen=True)
class Minus:
    """Difference: strings in `first` that are not in `second`. Holds no Special; `second` no FreeTokens either."""

    first: "Node"
    second: "Node"


@dataclass(frozen=True)
class Special:
    """One control token, by id; it has no text."""

    token_id: int


@dataclass(frozen=True)
class FreeTokens:
    """Any valid UTF-8 text, holding none of the strings `without`, in which at most `max_tokens` tokens begin.

    None means as many as the budget allows.
    """

    max_tokens: int | None
    without: tuple[str, ...] = ()


Node = Text | Chars | Seq | Either | Repeat | Both | Minus | Special | FreeTokens
