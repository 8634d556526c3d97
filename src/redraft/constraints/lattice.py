"""An automaton unrolled over the positions of one canvas: what can still happen where. NumPy; made once per canvas.

An *edge* leads from state to state by any token of its set of classes. Only what lies on a path from the start to a
final state survives, so nothing that reads a lattice can enter a dead end.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redraft.constraints.tokens import TokenAutomaton
from redraft.errors import InvalidRequest

NO_POSITION = -1


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an automaton demands beyond its edges, per state or edge of the automaton; None: nothing.

    This is how an infill's hole budget and its equal terms enter (infill.py).
    """

    final_weight: NDArray[np.float64]  # [states] log-weight of ending the canvas there; -inf: not allowed
    last_position: NDArray[np.int64] | None = None  # [edges] the last canvas position an edge may be taken at
    is_unscored: NDArray[np.bool_] | None = None  # [edges] whatever the model says, the edge weighs 1
    is_crossing: NDArray[np.bool_] | None = None  # [edges] a path takes exactly one; best paths share its position


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """The live part of an automaton over one canvas; states, classes and sets are renumbered from 0.

    `forced[i]` is the only possible token at position i, or -1 where more than one is possible.
    """

    automaton: TokenAutomaton
    canvas_length: int
    num_positions: int  # the automaton runs over these; later positions hold `fill_id`
    fill_id: int
    allowed: Mapping[int, NDArray[np.int64]]  # position: sorted ids, where a position is restricted
    forced: NDArray[np.int64]  # [canvas_length]
    states: NDArray[np.int64]  # [N] the automaton's numbers
    classes: NDArray[np.int64]  # the automaton's numbers
    start: int
    final_weight: NDArray[np.float64]  # [N]
    source: NDArray[np.int64]  # [edges] ascending
    target: NDArray[np.int64]  # [edges]
    edge_set: NDArray[np.int64]  # [edges]
    set_ptr: NDArray[np.int64]
    set_classes: NDArray[np.int64]
    is_blocked: NDArray[np.bool_] | None  # [num_positions, edges]
    is_unscored: NDArray[np.bool_]  # [edges]
    is_crossing: NDArray[np.bool_]  # [edges]

    @property
    def is_free(self) -> NDArray[np.bool_]:
        """[canvas_length] whether more than one token is possible."""
        return self.forced == NO_POSITION

    @property
    def num_sets(self) -> int:
        return len(self.set_ptr) - 1

    def set(self, number: int) -> NDArray[np.int64]:
        """Classes of a set."""
        return self.set_classes[self.set_ptr[number] : self.set_ptr[number + 1]]

    def class_tokens(self, number: int) -> NDArray[np.int32]:
        """Ids of a class of this lattice, ascending."""
        ptr, original = self.automaton.class_ptr, self.classes[number]
        return self.automaton.class_tokens[ptr[original] : ptr[original + 1]]


def unroll(
    automaton: TokenAutomaton,
    state: int,
    canvas_length: int,
    tokens_left: int,
    fill_id: int,
    allowed: Mapping[int, NDArray[np.integer]] | None = None,
) -> Lattice:
    """The lattice of a canvas that starts in `state` with `tokens_left` of the reply's budget, this canvas included.

    A path must end the canvas where acceptance is still within the budget, and be accepted by the time it is spent.
    `allowed`: canvas position -> the only ids it may hold. InvalidRequest where no path is left.
    """
    num_positions = min(canvas_length, tokens_left)
    can_finish = automaton.distance <= tokens_left - num_positions
    terms = Terms(final_weight=np.where(can_finish, 0.0, -np.inf))
    return unroll_with(automaton, state, canvas_length, num_positions, fill_id, terms, allowed)


def unroll_with(
    automaton: TokenAutomaton,
    state: int,
    canvas_length: int,
    num_positions: int,
    fill_id: int,
    terms: Terms,
    allowed: Mapping[int, NDArray[np.integer]] | None = None,
) -> Lattice:
    """The lattice of a canvas under explicit terms; InvalidRequest where no path is left."""
    limits = {i: np.unique(ids).astype(np.int64) for i, ids in (allowed or {}).items() if i < num_positions}
    is_blocked = _blocked_edges(automaton, num_positions, terms, limits)
    live = _live_edges(automaton, state, num_positions, terms, is_blocked)
    if num_positions and not live[0].any():
        raise InvalidRequest(
            f"constraint: no text of it fits the {num_positions} tokens from here on"
            + (f" with the ids allowed at positions {sorted(limits)}" if limits else "")
        )
    forced = np.full(canvas_length, fill_id, dtype=np.int64)
    forced[:num_positions] = _forced_tokens(automaton, live, limits)
    kept = np.flatnonzero(live.any(axis=0))
    kept = kept[np.argsort(automaton.edge_source[kept], kind="stable")]
    states, ends = np.unique(
        np.concatenate([[state], automaton.edge_source[kept], automaton.edge_target[kept]]), return_inverse=True
    )
    sets, edge_set = np.unique(automaton.edge_set[kept], return_inverse=True)
    rows = [automaton.set_classes[automaton.set_ptr[s] : automaton.set_ptr[s + 1]] for s in sets]
    classes, set_classes = np.unique(np.concatenate(rows) if rows else np.empty(0, np.int64), return_inverse=True)
    return Lattice(
        automaton=automaton,
        canvas_length=canvas_length,
        num_positions=num_positions,
        fill_id=fill_id,
        allowed=limits,
        forced=forced,
        states=states.astype(np.int64),
        classes=classes.astype(np.int64),
        start=int(ends[0]),
        final_weight=terms.final_weight[states],
        source=ends[1 : 1 + len(kept)],
        target=ends[1 + len(kept) :],
        edge_set=edge_set,
        set_ptr=np.cumsum([0, *map(len, rows)]),
        set_classes=set_classes,
        is_blocked=None if is_blocked is None else is_blocked[:, kept],
        is_unscored=_flags(terms.is_unscored, kept),
        is_crossing=_flags(terms.is_crossing, kept),
    )


def allowed_tokens(automaton: TokenAutomaton, state: int, tokens_left: int) -> NDArray[np.int64]:
    """Ids that may be written next so that acceptance stays within `tokens_left`, this token included; ascending.

    For left-to-right decoding; empty where the budget is spent.
    """
    edges = np.flatnonzero((automaton.edge_source == state) & (automaton.distance[automaton.edge_target] < tokens_left))
    is_live = np.zeros(len(automaton.class_ptr) - 1, dtype=bool)
    for number in np.unique(automaton.edge_set[edges]):
        is_live[automaton.set_classes[automaton.set_ptr[number] : automaton.set_ptr[number + 1]]] = True
    return np.flatnonzero(is_live[automaton.token_class])


def advance(automaton: TokenAutomaton, state: int, token_id: int) -> int:
    """The state after one more token of a deterministic automaton; InvalidRequest where the token cannot follow."""
    number = automaton.token_class[token_id]
    for edge in np.flatnonzero(automaton.edge_source == state):
        first, last = automaton.set_ptr[automaton.edge_set[edge] :][:2]
        if number in automaton.set_classes[first:last]:
            return int(automaton.edge_target[edge])
    raise InvalidRequest(f"token id {token_id} cannot follow in state {state} of the constraint")


def universal_automaton(vocab_size: int) -> TokenAutomaton:
    """The automaton of every token sequence: what per-position sets alone are laid over."""
    return TokenAutomaton(
        token_class=np.ones(vocab_size, np.int32),
        class_ptr=np.array([0, 0, vocab_size], np.int32),
        class_tokens=np.arange(vocab_size, dtype=np.int32),
        edge_source=np.zeros(1, np.int32),
        edge_target=np.zeros(1, np.int32),
        edge_set=np.zeros(1, np.int32),
        set_ptr=np.array([0, 1], np.int32),
        set_classes=np.ones(1, np.int32),
        start=0,
        accepting=np.ones(1, dtype=bool),
        distance=np.zeros(1, np.int32),
        end_state=0,
    )


def _flags(flags: NDArray[np.bool_] | None, kept: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A flag of the kept edges; None is all False."""
    return np.zeros(len(kept), dtype=bool) if flags is None else flags[kept]


def _blocked_edges(
    automaton: TokenAutomaton, num_positions: int, terms: Terms, limits: Mapping[int, NDArray[np.int64]]
) -> NDArray[np.bool_] | None:
    """[positions, edges] edges that a position rules out: taken too late, or none of their tokens is allowed there."""
    if not limits and terms.last_position is None:
        return None
    is_blocked = np.zeros((num_positions, len(automaton.edge_source)), dtype=bool)
    if terms.last_position is not None:
        is_blocked |= np.arange(num_positions)[:, None] > terms.last_position
    for position, ids in limits.items():
        is_present = np.zeros(len(automaton.class_ptr) - 1, dtype=bool)
        is_present[automaton.token_class[ids]] = True
        has_token = np.logical_or.reduceat(is_present[automaton.set_classes], automaton.set_ptr[:-1])
        is_blocked[position] |= ~has_token[automaton.edge_set]
    return is_blocked


def _live_edges(
    automaton: TokenAutomaton,
    state: int,
    num_positions: int,
    terms: Terms,
    is_blocked: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    """[positions, edges] edges on a path from the start at position 0 to a final state after the last position."""
    source, target = automaton.edge_source, automaton.edge_target
    live = np.ones((num_positions, len(source)), dtype=bool) if is_blocked is None else ~is_blocked
    is_reached = np.zeros(len(automaton.accepting), dtype=bool)
    is_reached[state] = True
    for row in live:
        row &= is_reached[source]
        is_reached = np.zeros_like(is_reached)
        is_reached[target[row]] = True
    can_end = terms.final_weight > -np.inf
    for row in live[::-1]:
        row &= can_end[target]
        can_end = np.zeros_like(can_end)
        can_end[source[row]] = True
    return live


def _forced_tokens(
    automaton: TokenAutomaton, live: NDArray[np.bool_], limits: Mapping[int, NDArray[np.int64]]
) -> NDArray[np.int64]:
    """[positions] the only token that live edges and allowed ids leave, or -1."""
    forced = np.full(len(live), NO_POSITION, dtype=np.int64)
    set_of_entry = np.repeat(np.arange(len(automaton.set_ptr) - 1), np.diff(automaton.set_ptr))
    class_size = np.diff(automaton.class_ptr)
    for i, row in enumerate(live):
        if i and i not in limits and i - 1 not in limits and np.array_equal(row, live[i - 1]):
            forced[i] = forced[i - 1]
            continue
        is_live_set = np.zeros(len(automaton.set_ptr) - 1, dtype=bool)
        is_live_set[automaton.edge_set[row]] = True
        is_live = np.zeros(len(class_size), dtype=bool)
        is_live[automaton.set_classes[is_live_set[set_of_entry]]] = True
        if i in limits:
            ids = limits[i][is_live[automaton.token_class[limits[i]]]]
        elif class_size[is_live].sum() == 1:
            ids = automaton.class_tokens[automaton.class_ptr[np.flatnonzero(is_live)]]
        else:
            continue
        if len(ids) == 1:
            forced[i] = ids[0]
    return forced
