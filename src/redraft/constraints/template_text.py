"""Text with holes: reading the notation, and finding what each hole holds in a finished text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from redraft.constraints.automaton import ByteAutomaton
from redraft.errors import InvalidRequest

_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}?|[^{}]+|\}")


@dataclass(frozen=True)
class Hole:
    """A place in a template that a constraint fills."""

    name: str


def parse_template(text: str) -> tuple[str | Hole, ...]:
    """Literals, never empty and never two in a row, and holes. "{{" and "}}" are braces, a single "}" is itself.

    InvalidRequest for a hole that is not closed, whose name is no identifier, or that appears twice.
    """
    if not isinstance(text, str):
        raise InvalidRequest(f"template text={text!r}: want a string")
    holes: set[Hole] = set()
    parts: list[str | Hole] = []
    for kind, group in groupby((_part(match, holes) for match in _TOKEN.finditer(text)), type):
        pieces = list(group)
        parts += ["".join(map(str, pieces))] if kind is str else pieces
    return tuple(parts)


def _part(match: re.Match[str], holes: set[Hole]) -> str | Hole:
    """A hole, which joins the `holes` before it, in place, or a piece of a literal."""
    token, position = match[0], match.start()
    if token[0] != "{" or token == "{{":
        return token[0] if token in ("{{", "}}") else token
    hole = Hole(token[1:-1])
    if not token.endswith("}") or not hole.name.isidentifier():
        raise InvalidRequest(
            f"template: want {{name}} at position {position}, not {token[:40]!r}; a brace is written {{{{"
        )
    if hole in holes:
        raise InvalidRequest(
            f"template: the hole {hole.name!r} appears twice (position {position}); give each its own name"
        )
    holes.add(hole)
    return hole


def split_text(data: bytes, parts: Sequence[bytes | ByteAutomaton]) -> list[bytes] | None:
    """What each part holds where the parts in a row spell `data`; None where they cannot.

    Of several ways it is the one whose first part is shortest, among these the one whose second is, and so on.
    """
    # ends[k][p]: parts from k on can spell data[p:].
    ends = np.zeros(len(data) + 1, dtype=bool)
    ends[-1] = True
    possible = [ends]
    for part in reversed(parts):
        possible.append(_starts(data, part, possible[-1]))
    possible.reverse()
    if not possible[0][0]:
        return None
    found, position = [], 0
    for part, after in zip(parts, possible[1:], strict=True):
        end = _first_end(data, part, position, after)
        found.append(data[position:end])
        position = end
    return found


def _starts(data: bytes, part: bytes | ByteAutomaton, ends: np.ndarray) -> np.ndarray:
    """bool [n + 1]: from which positions the part can reach one of `ends`."""
    starts = np.zeros_like(ends)
    if isinstance(part, bytes):
        for position in range(len(data) + 1 - len(part)):
            starts[position] = ends[position + len(part)] and data.startswith(part, position)
        return starts
    alive = np.zeros(part.num_states + 1, dtype=bool)  # by state; the last is the dead one, which -1 finds
    for position in range(len(data), -1, -1):
        if position < len(data):
            alive[:-1] = alive[part.transitions[:, data[position]]]
        if ends[position]:
            alive[:-1] |= part.accepting
        starts[position] = alive[part.start]
    return starts


def _first_end(data: bytes, part: bytes | ByteAutomaton, position: int, ends: np.ndarray) -> int:
    if isinstance(part, bytes):
        return position + len(part)
    state = part.start
    while not (part.accepting[state] and ends[position]):
        state = part.transitions[state, data[position]]
        position += 1
    return position
