import itertools
import math

import numpy as np
import pytest

from redraft.constraints.lattice import unroll
from redraft.constraints.messages import Joined, backward, best_messages, best_path, draw_index, draw_path, forward


def paths(lattice, weights):
    """{edges of a path: its log-weight}, by brute force."""
    found = {}
    for edges in itertools.product(range(len(lattice.source)), repeat=lattice.num_positions):
        states = [lattice.start, *lattice.target[list(edges)]]
        if all(lattice.source[edge] == state for edge, state in zip(edges, states, strict=False)):
            final = lattice.final_weight[states[-1]]
            if final > -np.inf:
                found[edges] = final + sum(weights[i, lattice.edge_set[edge]] for i, edge in enumerate(edges))
    return found


@pytest.fixture
def joined(random_automaton):
    rng = np.random.default_rng(8)
    lattices = []
    for length in (3, 1, 4):
        _, automaton = random_automaton(rng, 3, 4, length, density=0.5)
        lattices.append(unroll(automaton, 0, length, length, 3))
    return Joined(tuple(lattices)), [rng.normal(0, 3, (x.num_positions, x.num_sets)) for x in lattices]


def test_sums_and_edge_probabilities_are_those_of_all_paths(joined):
    joined, weights = joined
    log_z, transition = backward(joined, joined.weights(weights))
    taken, crossing = forward(joined, transition)
    for k, lattice in enumerate(joined.lattices):
        found = paths(lattice, weights[k])
        total = sum(map(math.exp, found.values()))
        expected = np.zeros_like(taken[k])
        for edges, weight in found.items():
            expected[range(len(edges)), lattice.edge_set[list(edges)]] += math.exp(weight) / total
        assert log_z[k] == pytest.approx(math.log(total))
        assert taken[k] == pytest.approx(expected)
        assert not crossing[k].any()


def test_the_best_path_is_the_heaviest(joined):
    joined, weights = joined
    messages = best_messages(joined, joined.weights(weights), [None] * 3)
    for k, lattice in enumerate(joined.lattices):
        found = paths(lattice, weights[k])
        path = best_path(lattice, weights[k], messages[k], None, lambda i, edges: edges[0])
        assert found[tuple(path.tolist())] == pytest.approx(max(found.values()))
        assert messages[k][0, lattice.start] == pytest.approx(max(found.values()))


def test_drawn_paths_are_paths(joined):
    joined, weights = joined
    transitions = joined.split_edges(backward(joined, joined.weights(weights))[1])
    for u in np.linspace(0, 1 - 2**-24, 9):
        for lattice, transition, w in zip(joined.lattices, transitions, weights, strict=True):
            path = draw_path(lattice, transition, np.full(lattice.num_positions, u))
            assert tuple(path.tolist()) in paths(lattice, w)


def test_weights_thousands_of_nats_apart_do_not_underflow(automaton_from_table):
    # Two branches of three tokens; the one that starts 4000 nats better ends 9000 worse.
    table = [[1, 2], [3, -1], [-1, 4], [5, -1], [-1, 5], [-1, -1]]
    lattice = unroll(automaton_from_table(table, [False] * 5 + [True]), 0, 3, 3, 0)
    joined = Joined((lattice,))
    by_token = {tuple(lattice.classes[lattice.set(s)].tolist()): s for s in range(lattice.num_sets)}
    first, second = (by_token[(number,)] for number in lattice.automaton.token_class[:2].tolist())
    weights = np.zeros((3, 2))
    weights[:, first], weights[:, second] = [0, 0, -9000], [-4000, 0, 0]
    log_z, transition = backward(joined, joined.weights([weights]))
    assert log_z[0] == pytest.approx(-4000)
    assert forward(joined, transition)[0][0][:, second].tolist() == [1, 1, 1]


def test_a_drawn_index_has_weight_however_large_the_uniform():
    weights = np.array([0.0, 3.0, 0.0, 1e-30, 0.0])
    assert {draw_index(weights, u) for u in (0.0, 0.5, 1 - 2**-24)} == {1}
    assert draw_index(np.array([0.0, 1.0, 1.0, 0.0]), 1 - 2**-24) == 2
