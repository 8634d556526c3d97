from itertools import product

import numpy as np
import pytest

from redraft.constraints.automaton import compile_tree
from redraft.constraints.limits import Limits, Meter
from redraft.constraints.network import ANY_TEXT
from redraft.constraints.tokens import NEVER, build_token_automaton
from redraft.constraints.tree import Chars, Either, FreeTokens, Minus, Repeat, Seq, Special, Text
from redraft.constraints.vocabulary import Vocabulary
from redraft.errors import InvalidRequest

#        0     1     2     3     4     5      6      7        8        9        10     11   12
TABLE = (None, None, None, b"a", b"b", b"ab", b"ba", b"\xc3", b"\xa9", "éa".encode(), b"(", b")", b"b)")
END, TURN, CLOSE = 0, 1, 2
LETTER = Chars(((ord("a"), ord("b")),))
TREES = {
    "literal": Text("abba"),
    "loop": Repeat(Text("ab"), 1, None),
    "any": ANY_TEXT,
    "e-acute": Seq((LETTER, Repeat(Chars(((0xE9, 0xE9),)), 0, 2), Text("a"))),
    "choice": Either((Text("ab"), Text("aab"), Text("bé"), Text(""))),
    "difference": Minus(Repeat(LETTER, 0, 4), Seq((ANY_TEXT, Text("ba"), ANY_TEXT))),
}


def build(tree, stop_ids=(END, TURN), banned=(), table=TABLE, limits=None):
    meter = Meter(limits or Limits())
    return build_token_automaton(compile_tree(tree, meter=meter), Vocabulary(table), stop_ids, banned, meter)


def arrows(tokens):
    """{(source, token id): target}; fails where a class lies in two edges of one state."""
    found = {}
    for source, target, index in zip(tokens.edge_source, tokens.edge_target, tokens.edge_set, strict=True):
        for token_class in tokens.set_classes[tokens.set_ptr[index] : tokens.set_ptr[index + 1]]:
            for token in tokens.class_tokens[tokens.class_ptr[token_class] : tokens.class_ptr[token_class + 1]]:
                assert (source, token) not in found
                found[int(source), int(token)] = int(target)
    return found


def run(tokens, ids, found=None):
    """The state after the ids, None where they leave the language for good."""
    found, state = found or arrows(tokens), tokens.start
    for token in ids:
        state = found.get((state, token))
        if state is None:
            return None
    return state


@pytest.mark.parametrize("name", TREES)
def test_a_token_sequence_is_accepted_exactly_if_its_text_is(name):
    automaton, tokens = compile_tree(TREES[name]), build(TREES[name])
    found = arrows(tokens)
    for size in range(5):
        for ids in product(range(3, 10), repeat=size):
            state = run(tokens, ids, found)
            accepted = state is not None and tokens.accepting[state]
            assert accepted == automaton.matches(b"".join(TABLE[token] for token in ids)), ids


@pytest.mark.parametrize("name", TREES)
def test_tables_are_consistent(name):
    tokens = build(TREES[name])
    assert tokens.token_class.dtype == tokens.edge_set.dtype == tokens.set_classes.dtype == np.int32
    for index in range(tokens.num_classes):
        members = tokens.class_tokens[tokens.class_ptr[index] : tokens.class_ptr[index + 1]]
        assert (tokens.token_class[members] == index).all() and (np.diff(members) > 0).all()
    assert len(tokens.class_tokens) == len(TABLE)
    sets = [tuple(tokens.set_classes[a:b]) for a, b in zip(tokens.set_ptr[:-1], tokens.set_ptr[1:], strict=True)]
    assert len(set(sets)) == len(sets) and all(list(s) == sorted(set(s)) and s[0] > 0 for s in sets)
    columns = {}
    for (source, token), target in arrows(tokens).items():
        columns.setdefault(token, {})[source] = target
    used = [tokens.token_class[token] for token in columns]
    assert len({frozenset(column.items()) for column in columns.values()}) == len(set(used))
    assert all((tokens.token_class[token] == 0) == (token not in columns) for token in range(len(TABLE)))


@pytest.mark.parametrize("name", TREES)
def test_distance_is_the_fewest_tokens_to_acceptance_and_every_state_is_of_use(name):
    tokens = build(TREES[name])
    distance = np.where(tokens.accepting, 0, NEVER)
    for _ in range(tokens.num_states):
        np.minimum.at(distance, tokens.edge_source, distance[tokens.edge_target] + 1)
    assert (tokens.distance == distance).all() and tokens.distance.max() < NEVER
    reached = {tokens.start}
    for _ in range(tokens.num_states):
        reached |= set(tokens.edge_target[np.isin(tokens.edge_source, list(reached))])
    assert len(reached) == tokens.num_states


def test_after_the_end_come_end_ids_only():
    tokens = build(Text("ab"))
    found = arrows(tokens)
    done = run(tokens, [5], found)
    assert tokens.accepting[done] and tokens.accepting[tokens.end_state]
    assert found[done, END] == found[done, TURN] == tokens.end_state
    assert {token for state, token in found if state == tokens.end_state} == {END}
    assert run(tokens, [3, END], found) is None


def test_a_stop_id_is_never_text():
    tokens = build(ANY_TEXT, stop_ids=(END, 4))
    assert run(tokens, [4]) == tokens.end_state and run(tokens, [6]) != tokens.end_state


def test_banned_ids_leave_before_the_feasibility_test():
    assert run(build(Text("ab"), banned=(5,)), [5]) is None
    assert build(Text("ab")).distance[0] == 1 and build(Text("ab"), banned=(5,)).distance[0] == 2
    with pytest.raises(InvalidRequest, match="neither banned nor stop ids fulfils it"):
        build(Text("ab"), banned=(4, 5))
    with pytest.raises(InvalidRequest, match="bans id 0"):
        build(Text("ab"), banned=(END,))
    assert run(build(Text("ab"), banned=(TURN,)), [5, TURN]) is None


def test_a_control_token_inside_a_tree_is_one_id():
    tree = Seq((FreeTokens(None), Special(CLOSE), Text("ab")))
    tokens = build(tree)
    assert tokens.accepting[run(tokens, [4, 9, CLOSE, 5])] and tokens.accepting[run(tokens, [CLOSE, 3, 4])]
    assert run(tokens, [4, 5, CLOSE, CLOSE]) is None
    assert not tokens.accepting[run(tokens, [3, 4])]
    with pytest.raises(InvalidRequest, match="fulfils it"):
        build(tree, banned=(CLOSE,))


def begins_at_most(limit, ids):
    """Whether "(" + hole + ")" can be read with at most `limit` tokens beginning in the hole."""
    text = b"".join(TABLE[token] for token in ids)
    starts = [sum(len(TABLE[token]) for token in ids[:index]) for index in range(len(ids))]
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    inside = sum(1 <= start < len(text) - 1 for start in starts)
    return len(text) >= 2 and text.startswith(b"(") and text.endswith(b")") and inside <= limit


@pytest.mark.parametrize("limit", [1, 2])
def test_a_hole_counts_the_tokens_that_begin_in_it(limit):
    tokens = build(Seq((Text("("), FreeTokens(limit), Text(")"))))
    found = arrows(tokens)
    for size in range(2, 5):
        for ids in product((3, 6, 7, 8, 9, 11, 12), repeat=size - 1):
            state = run(tokens, (10, *ids), found)
            accepted = state is not None and tokens.accepting[state]
            assert accepted == begins_at_most(limit, (10, *ids)), ids


def test_prefixes_of_a_budget_can_always_finish():
    tokens = build(Seq((Text("("), FreeTokens(2), Text(")"))))
    found = arrows(tokens)
    for (source, _), target in found.items():
        assert tokens.distance[source] <= tokens.distance[target] + 1


def test_too_many_edges_are_refused_with_the_numbers():
    with pytest.raises(InvalidRequest, match="token edges or more, the limit is 5;"):
        build(Repeat(LETTER, 6, 6), limits=Limits(edges=5))


def test_vocabularies_are_equal_by_their_bytes():
    assert Vocabulary(TABLE) == Vocabulary(list(TABLE)) and hash(Vocabulary(TABLE)) == hash(Vocabulary(TABLE))
    assert Vocabulary(TABLE) != Vocabulary(TABLE[:-1])


def test_tokens_without_text_have_no_place_in_the_trie():
    vocabulary = Vocabulary((None, b"", b"a", b"abc", b"ab"))
    assert [level.token_ids.tolist() for level in vocabulary.levels] == [[2], [4], [3]]
    assert Vocabulary((None,)).levels == ()


def test_texts_of_tokens_are_found_by_their_beginning_and_by_a_byte():
    vocabulary = Vocabulary([b"ab", None, b"b", b"abc", b"a", b"b", b"ac", b"\xff"])
    assert vocabulary.ids[b"b"] == [2, 5]
    assert vocabulary.beginning_with(b"ab") == [b"ab", b"abc"]
    assert vocabulary.beginning_with(b"x") == []
    assert vocabulary.beginning_with(b"\xff") == [b"\xff"]
    assert vocabulary.holding(ord("b")) == [b"ab", b"abc", b"b"]
