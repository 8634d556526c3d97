"""Builds the token automaton of an infill from the hole's byte automaton and the text around it (infill.py)."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redraft.constraints.automaton import DEAD, ByteAutomaton
from redraft.constraints.infill import NOT_SUFFIX, SCORED_BYTES, InfillAutomaton
from redraft.constraints.limits import Meter
from redraft.constraints.tokens import NEVER, Moves, TokenAutomaton, finish, text_moves
from redraft.constraints.vocabulary import Vocabulary
from redraft.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True)
class InfillParts:
    """What an infill automaton is built from."""

    hole: ByteAutomaton
    heal: bytes  # bytes of the token before the hole that moves into the canvas; b"": none
    suffix: tuple[bytes, ...]  # the text after the hole, as the tokenizer splits it
    max_tokens: int
    canvas_length: int
    scored_bytes: int = SCORED_BYTES


def build_infill(
    parts: InfillParts, vocabulary: Vocabulary, stop_ids: Sequence[int], banned: Collection[int], meter: Meter
) -> InfillAutomaton:
    """The automaton of an infill; the first stop id fills what follows the end of the document.

    InvalidRequest past a limit, or where no hole of at most `max_tokens` tokens is in the language.
    """
    return _Builder(parts, vocabulary, stop_ids, banned).build(meter)


class _Builder:
    """Collects what every token does, then numbers and compresses.

    States: the hole's, then `cut(o)` and `suffix(o)` (o bytes of the suffix written; cut: by one token that begins with
    the suffix), then the start before a healed token.
    """

    def __init__(self, parts: InfillParts, vocabulary: Vocabulary, stop_ids: Sequence[int], banned: Collection[int]):
        self.parts, self.vocabulary, self.stop_ids, self.banned = parts, vocabulary, stop_ids, banned
        self.unusable = np.zeros(vocabulary.size, dtype=bool)
        self.unusable[[*stop_ids, *banned]] = True
        self.longest = len(vocabulary.levels)
        boundaries = np.cumsum([0, *map(len, parts.suffix)])
        # The stretch's last token ends before this; a canvas of tokens more, and no path ends a shortened suffix.
        num_kept = int(np.searchsorted(boundaries, parts.scored_bytes + self.longest)) + parts.canvas_length
        self.boundaries = boundaries[: num_kept + 1].tolist()
        self.text = b"".join(parts.suffix[:num_kept])
        self.is_end_scored = len(self.text) <= parts.scored_bytes
        self.hole = parts.hole
        self.first_cut = self.hole.num_states
        self.first_suffix = self.first_cut + len(self.text) + 1
        self.start = self.first_suffix + len(self.text) + 1 if parts.heal else self.hole.start
        self.num_states = self.first_suffix + len(self.text) + 2
        self.rows: dict[int, list[tuple[int, int]]] = {}  # token -> (source, target), beside what it does in the hole

    def build(self, meter: Meter) -> InfillAutomaton:
        self._add_suffix()
        self._add_crossings()
        if self.parts.heal:
            self._add_healing()
        moves = self._with_rows(text_moves(self.hole, self.vocabulary, self.unusable, meter))
        accepting = np.zeros(self.num_states, dtype=bool)
        accepting[: self.first_cut] = self.hole.accepting & (not self.text)
        accepting[[self.first_cut + len(self.text), self.first_suffix + len(self.text)]] = bool(self.text)
        kept = _on_a_path(moves, self.start, accepting)
        if not kept[self.start]:
            raise InvalidRequest(
                "infill: tokens that are neither banned nor stop ids spell no hole followed by the text after it"
            )
        inside = kept[moves.source] & kept[moves.target]
        number = np.cumsum(kept) - 1
        moves = Moves(
            moves.token_group, moves.group[inside], number[moves.source[inside]], number[moves.target[inside]]
        )
        stop_ids = self.stop_ids if self.is_end_scored else self.stop_ids[:1]
        # Every state left is on a path, so finish keeps them all, and their numbers.
        automaton = finish(moves, accepting[kept], int(number[self.start]), stop_ids, self.banned, meter)
        return self._described(automaton, np.flatnonzero(kept))

    def _described(self, automaton: TokenAutomaton, states: NDArray[np.int64]) -> InfillAutomaton:
        """The automaton with what its states (`states`: our numbers; the end state comes last) and edges mean."""
        source, target = automaton.edge_source, automaton.edge_target
        is_healing = np.append((states == self.start) & (self.start >= self.first_cut), False)
        is_hole = np.append(states < self.first_cut, False) | is_healing
        is_cut_state = np.append((states >= self.first_cut) & (states < self.first_suffix), True)
        written = np.append((states - self.first_cut) % (len(self.text) + 1), 0)
        is_open_end = ~is_hole & (written >= self.parts.scored_bytes)
        is_open_end[automaton.end_state] = True
        is_crossing = is_hole[source] & ~is_hole[target]
        is_cut = is_crossing & is_cut_state[target] & ~is_healing[source]
        begins_in_hole = is_hole[source] & ~is_cut & ~is_healing[source]
        stretch = _fewest(automaton, np.ones(len(source), np.int64), is_open_end)
        first = is_cut if is_cut.any() else is_crossing
        stretch[is_hole] = 1 + stretch[target[first]].min()
        hole_tokens = _fewest(automaton, begins_in_hole.astype(np.int64), ~is_hole)
        if hole_tokens[automaton.start] > self.parts.max_tokens:
            raise InvalidRequest(
                f"max_tokens={self.parts.max_tokens}: want at least {hole_tokens[automaton.start]}, the shortest hole's"
            )
        return InfillAutomaton(
            automaton=automaton,
            fill_id=self.stop_ids[0],
            heal=self.parts.heal,
            max_tokens=self.parts.max_tokens,
            suffix_bytes=np.where(is_hole, NOT_SUFFIX, written),
            hole_tokens=hole_tokens,
            stretch_tokens=stretch,
            is_unscored=is_open_end[source],
            is_crossing=is_crossing,
            begins_in_hole=begins_in_hole,
            is_cut=is_cut,
        )

    def _ids(self, piece: bytes) -> list[int]:
        """The usable tokens that spell a piece."""
        return [token for token in self.vocabulary.ids.get(piece, ()) if not self.unusable[token]]

    def _add(self, token: int, source: int, target: int) -> None:
        self.rows.setdefault(token, []).append((source, target))

    def _add_suffix(self) -> None:
        """Any tokens as long as the stretch lasts; from then on one path, the tokenizer's as soon as it meets it."""
        for written in range(1, len(self.text)):
            if written < self.parts.scored_bytes:
                pieces = [self.text[written:end] for end in range(written + 1, self._reach(written) + 1)]
                found = [(token, len(piece)) for piece in pieces for token in self._ids(piece)]
            else:
                boundary = self.boundaries[bisect_right(self.boundaries, written)]
                pieces = (self.text[written:end] for end in range(boundary, written, -1))
                spellings = ((self._ids(piece), len(piece)) for piece in pieces)
                found = next(([(ids[0], length)] for ids, length in spellings if ids), [])
            for token, length in found:
                self._add(token, self.first_suffix + written, self.first_suffix + written + length)
                if written <= self.longest:
                    self._add(token, self.first_cut + written, self.first_suffix + written + length)

    def _add_crossings(self) -> None:
        """Tokens of which the last bytes begin the suffix and the others, if any, end the hole."""
        hole = np.arange(self.hole.num_states)
        for piece in self.vocabulary.holding(self.text[0]) if self.text else ():
            tokens = self._ids(piece)
            for cut, after in self._cuts(piece):
                ends = _run(self.hole, hole, piece[:cut])
                landing = (self.first_suffix if cut else self.first_cut) + after
                for source in np.flatnonzero((ends != DEAD) & self.hole.accepting[ends]).tolist():
                    for token in tokens:
                        self._add(token, source, landing)

    def _add_healing(self) -> None:
        """Tokens that begin with the healed bytes, and what their other bytes do."""
        heal = self.parts.heal
        for piece in self.vocabulary.beginning_with(heal):
            rest = piece[len(heal) :]
            targets = [int(_run(self.hole, np.array([self.hole.start]), rest)[0])]
            for cut, after in self._cuts(rest):
                state = int(_run(self.hole, np.array([self.hole.start]), rest[:cut])[0])
                if state != DEAD and self.hole.accepting[state]:
                    targets.append(self.first_suffix + after)
            for target in targets:
                if target != DEAD:
                    for token in self._ids(piece):
                        self._add(token, self.start, target)

    def _cuts(self, piece: bytes) -> Iterator[tuple[int, int]]:
        """(bytes before the suffix, bytes of it) of every way a piece can end in the beginning of the suffix."""
        first = self.text[:1]
        cut = piece.find(first) if first else -1
        while cut >= 0:
            if self.text.startswith(piece[cut:]):
                yield cut, len(piece) - cut
            cut = piece.find(first, cut + 1)

    def _reach(self, written: int) -> int:
        return min(len(self.text), written + self.longest)

    def _with_rows(self, moves: Moves) -> Moves:
        """The hole's moves and the others; a token with others gets a group of its own."""
        token_group = moves.token_group.copy()
        bounds = np.searchsorted(moves.group, np.arange(token_group.max(initial=0) + 2))
        next_group = int(max(token_group.max(initial=0), moves.group.max(initial=0))) + 1
        parts = [(moves.group, moves.source, moves.target)]
        for token, rows in sorted(self.rows.items()):
            low, high = bounds[token_group[token] : token_group[token] + 2]
            ends = np.array(sorted(set(rows)), dtype=np.int64)
            source = np.concatenate([moves.source[low:high], ends[:, 0]])
            target = np.concatenate([moves.target[low:high], ends[:, 1]])
            parts.append((np.full(len(source), next_group), source, target))
            token_group[token] = next_group
            next_group += 1
        return Moves(token_group, *map(np.concatenate, zip(*parts, strict=True)))


def _run(automaton: ByteAutomaton, states: NDArray[np.integer], data: bytes) -> NDArray[np.integer]:
    """The state after the bytes, from each state; DEAD where they cannot follow."""
    for byte in data:
        states = np.where(states == DEAD, DEAD, automaton.transitions[states, byte])
    return states


def _on_a_path(moves: Moves, start: int, accepting: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[states] whether a path from the start to acceptance visits it."""
    pairs = np.unique(np.stack([moves.source, moves.target]), axis=1)
    is_reached = np.zeros(len(accepting), dtype=bool)
    is_reached[start] = True
    return _closure(is_reached, pairs[0], pairs[1]) & _closure(accepting, pairs[1], pairs[0])


def _closure(states: NDArray[np.bool_], source: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The states and all that can be reached from them."""
    while True:
        found = states.copy()
        found[target[states[source]]] = True
        if (found == states).all():
            return states
        states = found


def _fewest(automaton: TokenAutomaton, cost: NDArray[np.int64], goal: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[states] the least cost of edges on the way to a goal state, NEVER where there is no way."""
    least = np.where(goal, 0, NEVER)
    while True:
        found = least.copy()
        np.minimum.at(found, automaton.edge_source, np.minimum(cost + least[automaton.edge_target], NEVER))
        if (found == least).all():
            return least
        least = found
