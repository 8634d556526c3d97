"""Byte automaton x vocabulary -> token automaton."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from redraft.constraints.automaton import ByteAutomaton
from redraft.constraints.columns import Columns, pair_hashes, token_columns
from redraft.constraints.limits import Meter
from redraft.constraints.vocabulary import Vocabulary
from redraft.errors import InvalidRequest

NEVER = 2**30  # a distance: acceptance cannot be reached


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """A language over token ids; from a state each class lies in at most one outgoing edge, unless stated otherwise.

    Accepting states go by any stop id to `end_state`, which loops on the first end id only.
    """

    token_class: NDArray[np.int32]  # [V] class of each token; class 0: no transition anywhere
    class_ptr: NDArray[np.int32]  # CSR: the tokens of a class, ascending ids
    class_tokens: NDArray[np.int32]
    edge_source: NDArray[np.int32]
    edge_target: NDArray[np.int32]
    edge_set: NDArray[np.int32]
    set_ptr: NDArray[np.int32]  # CSR: the classes of a set; equal sets are shared
    set_classes: NDArray[np.int32]
    start: int
    accepting: NDArray[np.bool_]  # [states]
    distance: NDArray[np.int32]  # [states] fewest tokens to acceptance, NEVER where there is no way
    end_state: int

    @property
    def num_states(self) -> int:
        return len(self.accepting)

    @property
    def num_classes(self) -> int:
        return len(self.class_ptr) - 1

    @property
    def num_edges(self) -> int:
        return len(self.edge_source)


@dataclass(frozen=True, eq=False)
class Moves:
    """Token transitions not yet compressed: by any token of group g, from `source` to `target`.

    `token_group[t]` is the group of token t, 0 for none; rows are sorted by group, groups count from 1.
    """

    token_group: NDArray[np.int64]  # [V]
    group: NDArray[np.int64]  # [n]
    source: NDArray[np.int64]  # [n]
    target: NDArray[np.int64]  # [n]


def build_token_automaton(
    automaton: ByteAutomaton, vocabulary: Vocabulary, stop_ids: Sequence[int], banned: Collection[int], meter: Meter
) -> TokenAutomaton:
    """The automaton over the vocabulary's ids whose texts are those of `automaton`.

    `stop_ids` end the text, the first of them fills what follows the end; they are never text. Banned ids are nothing
    at all. InvalidRequest past a limit, or where the tokens left spell no text of the language.
    """
    unusable = np.zeros(vocabulary.size, dtype=bool)
    unusable[[*stop_ids, *banned]] = True
    moves = text_moves(automaton, vocabulary, unusable, meter)
    return finish(moves, automaton.accepting, automaton.start, stop_ids, banned, meter)


def text_moves(automaton: ByteAutomaton, vocabulary: Vocabulary, unusable: np.ndarray, meter: Meter) -> Moves:
    """What every usable token (bool [V]: not `unusable`) does in every byte state."""
    columns, token_group = token_columns(automaton, vocabulary, meter)
    token_group[unusable] = 0
    group, source, target = _used_pairs(columns, token_group)
    rows = [(group, source, target)]
    num_groups = len(columns.pointers)
    for token in np.unique(automaton.specials[:, 1]):
        own = automaton.specials[automaton.specials[:, 1] == token]
        if unusable[token]:
            continue
        origin = _unmarked(automaton, own[:, 0])
        token_group[token], num_groups = num_groups, num_groups + 1
        target = np.repeat(own[:, 2], [len(states) for states in origin])
        source = np.concatenate(origin)
        rows.append((np.full(len(source), token_group[token]), source, target.astype(np.int64)))
    return Moves(token_group, *map(np.concatenate, zip(*rows, strict=True)))


def _unmarked(automaton: ByteAutomaton, states: np.ndarray) -> list[np.ndarray]:
    """Per state, the states that are in it once a token has begun."""
    return [np.flatnonzero(automaton.marked == state) for state in states]


def _used_pairs(columns: Columns, token_group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    used = np.unique(token_group[token_group > 0])
    rows, owner = columns.rows_of(used)
    return used[owner], columns.sources[rows].astype(np.int64), columns.targets[rows].astype(np.int64)


def finish(
    moves: Moves, accepting: np.ndarray, start: int, stop_ids: Sequence[int], banned: Collection[int], meter: Meter
) -> TokenAutomaton:
    """Adds the end, which any accepting state (bool [states]) goes to by any stop id that is not banned; compresses.

    InvalidRequest where nothing is left or the first stop id is banned.
    """
    end_state = len(accepting)
    fill, *others = usable_stops(stop_ids, banned)
    token_group, num_groups = moves.token_group.copy(), int(moves.token_group.max(initial=0)) + 1
    token_group[others] = num_groups + 1
    token_group[fill] = num_groups
    ends = np.flatnonzero(accepting)
    by_others = ends if others else ends[:0]
    source = np.concatenate([moves.source, ends, [end_state], by_others])
    target = np.concatenate([moves.target, np.full(len(ends) + 1 + len(by_others), end_state)])
    group = np.concatenate([moves.group, np.repeat([num_groups, num_groups + 1], [len(ends) + 1, len(by_others)])])
    return compress(Moves(token_group, group, source, target), np.append(accepting, True), start, end_state, meter)


def usable_stops(stop_ids: Sequence[int], banned: Collection[int]) -> list[int]:
    """The stop ids that are not banned, the filling one first; InvalidRequest where that one is banned."""
    if stop_ids[0] in banned:
        raise InvalidRequest(
            f"logit_bias bans id {stop_ids[0]}: under a constraint it fills what follows the reply's end"
        )
    return [token for token in dict.fromkeys(stop_ids) if token not in banned]


def compress(moves: Moves, accepting: np.ndarray, start: int, end_state: int, meter: Meter) -> TokenAutomaton:
    """The automaton of the moves, less the states that no path from the start to acceptance visits.

    `accepting` is bool [states], `end_state` among them. InvalidRequest where nothing is left, or past a limit.
    """
    distance = _distances(moves, accepting)
    kept = _reachable(moves, start, len(accepting)) & (distance < NEVER)
    if not kept[start]:
        raise InvalidRequest("constraint: no sequence of tokens that are neither banned nor stop ids fulfils it")
    number = np.cumsum(kept) - 1
    inside = kept[moves.source] & kept[moves.target]
    source, target = number[moves.source[inside]], number[moves.target[inside]]
    token_class, rows = _merge(moves.token_group, moves.group[inside], source, target)
    class_ptr, class_tokens = _csr(token_class)
    return TokenAutomaton(
        token_class=token_class.astype(np.int32),
        class_ptr=class_ptr,
        class_tokens=class_tokens,
        **_edges(*rows, meter),
        start=int(number[start]),
        accepting=accepting[kept],
        distance=distance[kept].astype(np.int32),
        end_state=int(number[end_state]),
    )


def _merge(
    token_group: np.ndarray, group: np.ndarray, source: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Token classes (int64 [V], in order of their lowest id) and the rows of one group of each.

    Groups whose rows are equal are one class; what lost all its rows is class 0.
    """
    num_groups = int(max(token_group.max(initial=0), group.max(initial=0))) + 1
    bounds = np.searchsorted(group, np.arange(num_groups + 1))
    hashes = pair_hashes(source, target, bounds)
    classes: dict[tuple[int, ...], int] = {}
    class_of_group = np.zeros(num_groups, dtype=np.int64)
    is_first = np.zeros(num_groups, dtype=bool)
    used, first_token = np.unique(token_group, return_index=True)
    for index in used[np.argsort(first_token)]:
        if index == 0 or bounds[index] == bounds[index + 1]:
            continue
        key = (int(hashes[0][index]), int(hashes[1][index]), int(bounds[index + 1] - bounds[index]))
        is_first[index] = key not in classes
        class_of_group[index] = classes.setdefault(key, len(classes) + 1)
    rows = is_first[group]
    return class_of_group[token_group], (class_of_group[group[rows]], source[rows], target[rows])


def _edges(group: np.ndarray, source: np.ndarray, target: np.ndarray, meter: Meter) -> dict[str, np.ndarray]:
    order = np.lexsort((group, target, source))
    group, source, target = group[order], source[order], target[order]
    is_first = np.append(True, (np.diff(source) != 0) | (np.diff(target) != 0))
    bounds = np.append(np.flatnonzero(is_first), len(group))
    meter.check_edges(len(bounds) - 1)
    group = group.astype(np.int32)
    sets: dict[bytes, int] = {}
    classes = (group[low:high].tobytes() for low, high in pairwise(bounds))
    edge_set = np.array([sets.setdefault(key, len(sets)) for key in classes], dtype=np.int32)
    sizes = [len(key) // group.itemsize for key in sets]
    return {
        "edge_source": source[is_first].astype(np.int32),
        "edge_target": target[is_first].astype(np.int32),
        "edge_set": edge_set,
        "set_ptr": np.append(0, np.cumsum(sizes)).astype(np.int32),
        "set_classes": np.frombuffer(b"".join(sets), dtype=np.int32),
    }


def _csr(token_class: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = np.bincount(token_class)
    pointers = np.append(0, np.cumsum(counts)).astype(np.int32)
    return pointers, np.argsort(token_class, kind="stable").astype(np.int32)


def _graph(moves: Moves, num_states: int, backwards: bool) -> tuple[np.ndarray, np.ndarray]:
    """(pointers [states + 1], neighbours) over distinct moves."""
    pairs = np.unique(moves.source * num_states + moves.target)
    ends = (pairs // num_states, pairs % num_states)
    here, there = ends[::-1] if backwards else ends
    order = np.argsort(here, kind="stable")
    return np.append(0, np.cumsum(np.bincount(here, minlength=num_states))), there[order]


def _distances(moves: Moves, accepting: np.ndarray) -> np.ndarray:
    """int64 [states]: fewest tokens to acceptance."""
    pointers, neighbours = _graph(moves, len(accepting), backwards=True)
    return _breadth_first(pointers, neighbours, np.flatnonzero(accepting))


def _reachable(moves: Moves, start: int, num_states: int) -> np.ndarray:
    pointers, neighbours = _graph(moves, num_states, backwards=False)
    return _breadth_first(pointers, neighbours, np.array([start])) < NEVER


def _breadth_first(pointers: np.ndarray, neighbours: np.ndarray, layer: np.ndarray) -> np.ndarray:
    distance = np.full(len(pointers) - 1, NEVER, dtype=np.int64)
    steps = 0
    distance[layer] = 0
    reached, bounds = neighbours.tolist(), pointers.tolist()
    todo = layer.tolist()
    while todo:
        steps += 1
        following = []
        for state in todo:
            for other in reached[bounds[state] : bounds[state + 1]]:
                if distance[other] == NEVER:
                    distance[other] = steps
                    following.append(other)
        todo = following
    return distance
