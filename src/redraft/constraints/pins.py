"""Allowed ids per position -> token automaton: a chain of positions up to the last pinned one, then anything."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from redraft.constraints.limits import Meter
from redraft.constraints.tokens import Moves, TokenAutomaton, compress, usable_stops
from redraft.errors import InvalidRequest


def pinned_automaton(
    positions: Mapping[int, Collection[int]],
    vocab_size: int,
    stop_ids: Sequence[int],
    banned: Collection[int],
    meter: Meter,
) -> TokenAutomaton:
    """Replies with an allowed id at each of the positions (from 0) and any id elsewhere.

    A reply may end before a pinned position only where that position admits the first stop id, which then fills it.
    """
    for position, ids in positions.items():
        if max(ids) >= vocab_size:
            raise InvalidRequest(
                f"positions[{position}]: id {max(ids)} is not below {vocab_size}, the vocabulary's size"
            )
    chain = max(positions) + 1
    meter.check_states(chain + 1)
    stops = usable_stops(stop_ids, banned)
    end_state = chain + 1
    may_end = [all(stops[0] in ids for at, ids in positions.items() if at >= state) for state in range(chain + 2)]
    after = [*range(1, chain + 1), chain]
    token_group = _groups(positions, vocab_size, stops, banned)
    group, source, target = [], [], []
    for number, token in zip(*np.unique(token_group, return_index=True), strict=True):
        states = [state for state in range(chain + 1) if token in positions.get(state, (token,))]
        if token in stops:
            states = [state for state in states if may_end[min(state + 1, chain)]]
        targets = [end_state if token in stops else after[state] for state in states]
        if token == stops[0]:
            states, targets = [*states, end_state], [*targets, end_state]
        if number:
            group += [number] * len(states)
            source += states
            target += targets
            meter.check_pairs(len(source))
    moves = Moves(token_group, *(np.array(values, dtype=np.int64) for values in (group, source, target)))
    return compress(moves, np.array(may_end), 0, end_state, meter)


def _groups(
    positions: Mapping[int, Collection[int]], vocab_size: int, stops: Sequence[int], banned: Collection[int]
) -> np.ndarray:
    """int64 [V]: 0 for banned ids, one group for all ids that no position names, one for each other id."""
    token_group = np.ones(vocab_size, dtype=np.int64)
    named = sorted({token for ids in positions.values() for token in ids}.union(stops))
    token_group[named] = np.arange(2, len(named) + 2)
    token_group[list(banned)] = 0
    return token_group
