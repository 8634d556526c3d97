"""Token automata built by hand from transition tables."""

import numpy as np
import pytest

from redraft.constraints.tokens import TokenAutomaton

NEVER = 1 << 30


def from_table(table, accepting, start=0) -> TokenAutomaton:
    """The automaton of a table [states, V] of next states, -1 dead."""
    table, accepting = np.asarray(table), np.asarray(accepting, dtype=bool)
    num_states = len(table)
    dead = np.full((num_states, 1), -1)
    columns, numbers = np.unique(np.concatenate([dead, table], axis=1), axis=1, return_inverse=True)
    # Class 0 is the dead column, which comes first: -1 is the smallest value there is.
    numbers = numbers.reshape(-1)[1:]
    order = np.argsort(numbers, kind="stable")
    edges: dict[tuple[int, int], list[int]] = {}
    for number in range(1, columns.shape[1]):
        for source in range(num_states):
            if columns[source, number] >= 0:
                edges.setdefault((source, int(columns[source, number])), []).append(number)
    sets = sorted({tuple(classes) for classes in edges.values()})
    distance = np.where(accepting, 0, NEVER)
    for _ in range(num_states):
        for source, target in edges:
            distance[source] = min(distance[source], distance[target] + 1)
    return TokenAutomaton(
        token_class=numbers.astype(np.int32),
        class_ptr=np.searchsorted(numbers[order], np.arange(columns.shape[1] + 1)).astype(np.int32),
        class_tokens=order.astype(np.int32),
        edge_source=np.array([source for source, _ in edges], np.int32),
        edge_target=np.array([target for _, target in edges], np.int32),
        edge_set=np.array([sets.index(tuple(classes)) for classes in edges.values()], np.int32),
        set_ptr=np.cumsum([0, *map(len, sets)]).astype(np.int32),
        set_classes=np.array([number for classes in sets for number in classes], np.int32),
        start=start,
        accepting=accepting,
        distance=distance.astype(np.int32),
        end_state=num_states - 1,
    )


@pytest.fixture
def automaton_from_table():
    return from_table


@pytest.fixture
def random_automaton():
    """A maker of random deterministic automata in which acceptance can be reached within `num_tokens` from the start.

    The last id is the stop id: from accepting states it leads to the last state, which loops on it.
    """

    def make(rng, num_states, vocab_size, num_tokens, density=0.4):
        while True:
            table = rng.integers(0, num_states, (num_states, vocab_size))
            table[rng.random(table.shape) > density] = -1
            accepting = rng.random(num_states) < 0.3
            accepting[-1] = True
            table[-1], table[:, -1] = -1, np.where(accepting, num_states - 1, -1)
            automaton = from_table(table, accepting)
            if automaton.distance[0] <= num_tokens:
                return table, automaton

    return make
