import numpy as np
import pytest

from redraft.constraints.lattice import advance, allowed_tokens, universal_automaton, unroll
from redraft.errors import InvalidRequest

# ab*c then the stop id 3, which also fills.
TABLE = [[1, -1, -1, -1], [-1, 1, 2, -1], [-1, -1, -1, 3], [-1, -1, -1, 3]]


@pytest.fixture
def automaton(automaton_from_table):
    return automaton_from_table(TABLE, [False, False, True, True])


def test_only_edges_on_a_path_to_the_end_survive(automaton):
    lattice = unroll(automaton, 0, 2, 2, 3)
    assert lattice.states[lattice.source].tolist() == [0, 1]
    assert lattice.states[lattice.target].tolist() == [1, 2]


def test_tokens_left_after_the_canvas_may_finish_the_text(automaton):
    assert unroll(automaton, 0, 2, 2, 3).forced.tolist() == [0, 2]
    assert unroll(automaton, 0, 2, 3, 3).forced.tolist() == [0, -1]


def test_positions_beyond_the_budget_are_fill(automaton):
    lattice = unroll(automaton, 0, 5, 3, 3)
    assert lattice.num_positions == 3
    assert lattice.forced.tolist() == [0, -1, -1, 3, 3]
    assert lattice.is_free.tolist() == [False, True, True, False, False]


def test_an_allowed_set_closes_paths_elsewhere(automaton):
    lattice = unroll(automaton, 0, 4, 4, 3, {2: np.array([2])})
    assert lattice.forced.tolist() == [0, 1, 2, 3]


def test_a_canvas_without_a_path_is_refused_with_the_numbers(automaton):
    with pytest.raises(InvalidRequest, match="fits the 1 tokens"):
        unroll(automaton, 0, 3, 1, 3)
    with pytest.raises(InvalidRequest, match=r"ids allowed at positions \[0\]"):
        unroll(automaton, 0, 3, 3, 3, {0: np.array([1, 2])})


def test_the_mask_keeps_acceptance_within_the_tokens_left(automaton):
    assert allowed_tokens(automaton, 1, 1).tolist() == [2]
    assert allowed_tokens(automaton, 1, 2).tolist() == [1, 2]
    assert allowed_tokens(automaton, 0, 1).tolist() == []


def test_advance_follows_one_token_and_refuses_others(automaton):
    assert [advance(automaton, 0, 0), advance(automaton, 1, 2), advance(automaton, 3, 3)] == [1, 2, 3]
    with pytest.raises(InvalidRequest, match="token id 2 cannot follow in state 0"):
        advance(automaton, 0, 2)


def test_the_universal_automaton_allows_everything():
    assert unroll(universal_automaton(5), 0, 3, 9, 0).is_free.all()
