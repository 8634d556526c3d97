import numpy as np
import pytest

from redraft.constraints.lattice import unroll
from redraft.constraints.ties import BestTokens

# From the start, tokens 0 and 3 lead to state 1, 1 to state 2, 2 and 4 to state 3; any token then ends it.
TABLE = [[1, 2, 3, 1, 3], [4] * 5, [4] * 5, [4] * 5, [-1] * 5]


@pytest.fixture
def lattice(automaton_from_table):
    return unroll(automaton_from_table(TABLE, [False] * 4 + [True]), 0, 2, 2, 0)


def lookup(lattice, logits, asked):
    """BestTokens over the same logits at both positions; `asked` collects the classes looked into."""
    best = np.array([[logits[lattice.class_tokens(k)].max() for k in range(len(lattice.classes))]] * 2)

    def best_token(_position, number):
        asked.append(number)
        ids = lattice.class_tokens(number)
        return int(ids[logits[ids].argmax()])

    return BestTokens(lattice, best, best_token)


def test_the_edge_with_the_lowest_best_id_wins(lattice):
    tokens = lookup(lattice, np.array([0.0, 0.0, 1.0, 1.0, 0.0]), [])
    start = np.flatnonzero(lattice.source == lattice.start)
    tied = start[np.isin(lattice.states[lattice.target[start]], (1, 3))]
    assert lattice.states[lattice.target[tokens.pick(0, tied)]] == 3
    assert lattice.states[lattice.target[tokens.pick(0, tied[::-1])]] == 3


def test_the_class_of_the_lowest_best_id_is_found_along_a_path(lattice):
    tokens = lookup(lattice, np.array([0.0, 0.0, 1.0, 1.0, 1.0]), [])
    last = np.flatnonzero(lattice.states[lattice.source] == 3)[0]
    first = np.flatnonzero(lattice.states[lattice.target] == 3)[0]
    numbers = tokens.classes(np.array([first, last]))
    assert [2 in lattice.class_tokens(number) for number in numbers.tolist()] == [True, True]


def test_a_class_that_can_hold_no_lower_id_is_not_looked_into(lattice):
    asked = []
    last = np.flatnonzero(lattice.states[lattice.source] == 3)[0]
    lookup(lattice, np.zeros(5), asked).classes(np.array([last, last]))
    assert len(lattice.classes) == 3 and len(asked) == 2
