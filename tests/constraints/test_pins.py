from itertools import product

import pytest

from redraft.constraints.limits import Limits, Meter
from redraft.constraints.pins import pinned_automaton
from redraft.errors import InvalidRequest

VOCAB, FILL, TURN = 6, 0, 1


def build(positions, banned=(), stop_ids=(FILL, TURN)):
    return pinned_automaton(positions, VOCAB, stop_ids, banned, Meter(Limits()))


def arrows(tokens):
    found = {}
    for source, target, index in zip(tokens.edge_source, tokens.edge_target, tokens.edge_set, strict=True):
        for token_class in tokens.set_classes[tokens.set_ptr[index] : tokens.set_ptr[index + 1]]:
            for token in tokens.class_tokens[tokens.class_ptr[token_class] : tokens.class_ptr[token_class + 1]]:
                assert (source, token) not in found
                found[int(source), int(token)] = int(target)
    return found


def is_allowed(ids, positions, banned):
    """Whether a full canvas is a reply: pins hold everywhere, fill and nothing else follows the first stop id."""
    end = next((at for at, token in enumerate(ids) if token in (FILL, TURN)), len(ids))
    after_end = all(token == FILL for token in ids[end + 1 :])
    return after_end and all(ids[at] in allowed for at, allowed in positions.items()) and not set(ids) & set(banned)


@pytest.mark.parametrize(
    ("positions", "banned"),
    [
        ({0: [3]}, ()),
        ({1: [2, 3], 3: [4]}, ()),
        ({2: [FILL, 3]}, ()),
        ({1: [3, TURN], 2: [FILL, 4]}, ()),
        ({0: [TURN, 2], 1: [FILL]}, ()),
        ({1: [2, 3]}, (3, 4)),
        ({3: [FILL]}, (TURN,)),
    ],
)
def test_a_canvas_is_accepted_exactly_if_every_pin_holds(positions, banned):
    tokens = build(positions, banned)
    found = arrows(tokens)
    for ids in product(range(VOCAB), repeat=4):
        state = tokens.start
        for token in ids:
            state = found.get((state, token))
        accepted = state is not None and tokens.accepting[state]
        assert accepted == is_allowed(ids, positions, banned), ids


def test_distance_reaches_the_last_pin():
    assert build({5: [3], 2: [4]}).distance[0] == 6
    assert build({5: [FILL]}).distance[0] == 0
    tokens = build({0: [3]})
    assert tokens.token_class[2] == tokens.token_class[4] != tokens.token_class[3]


def test_pins_that_cannot_hold_are_refused_by_name():
    with pytest.raises(InvalidRequest, match=r"positions\[1\]: id 9 is not below 6"):
        build({1: [9]})
    with pytest.raises(InvalidRequest, match="no sequence of tokens"):
        build({1: [3]}, banned=(3,))
    with pytest.raises(InvalidRequest, match="no sequence of tokens"):
        build({0: [TURN], 1: [3]})
    with pytest.raises(InvalidRequest, match="20,000"):
        build({10**9: [3]})
