import random
import time
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from redraft.constraints.automaton import DEAD, compile_tree
from redraft.constraints.limits import Limits
from redraft.constraints.network import ANY_TEXT
from redraft.constraints.tree import Both, Chars, Either, FreeTokens, Minus, Repeat, Seq, Special, Text
from redraft.errors import InvalidRequest

LETTERS = "abé"  # what trees name; "c" stands for all they do not


def ends(node, text, start):
    """All ends of a match of `node` from `start`, straight from the meaning of each node."""
    if isinstance(node, Text):
        return {start + len(node.text)} if text.startswith(node.text, start) else set()
    if isinstance(node, Chars):
        inside = start < len(text) and any(lo <= ord(text[start]) <= hi for lo, hi in node.ranges)
        return {start + 1} if inside else set()
    if isinstance(node, Seq):
        reached = {start}
        for part in node.parts:
            reached = {end for begin in reached for end in ends(part, text, begin)}
        return reached
    if isinstance(node, Either):
        return {end for option in node.options for end in ends(option, text, start)}
    if isinstance(node, Repeat):
        reached, found, count = {start}, set(), 0
        while reached and count <= (len(text) + 1 + node.low if node.high is None else node.high):
            found |= reached if count >= node.low else set()
            reached, count = {end for begin in reached for end in ends(node.node, text, begin)}, count + 1
        return found
    first, second = ends(node.first, text, start), ends(node.second, text, start)
    return first & second if isinstance(node, Both) else first - second


def trees(children=None):
    leaves = st.one_of(
        st.text(LETTERS, max_size=3).map(Text),
        st.sets(st.sampled_from(LETTERS)).map(lambda s: Chars(tuple((ord(c), ord(c)) for c in sorted(s)))),
        st.just(Chars(((0, 0x10FFFF),))),
    )

    def extend(inner):
        several = st.lists(inner, max_size=3).map(tuple)
        counts = st.tuples(st.integers(0, 2), st.one_of(st.none(), st.integers(0, 2)))
        return st.one_of(
            several.map(Seq),
            several.map(Either),
            st.builds(lambda n, c: Repeat(n, c[0], None if c[1] is None else c[0] + c[1]), inner, counts),
            st.builds(Both, inner, inner),
            st.builds(Minus, inner, inner),
            inner.map(lambda n: Seq((n, Either((n, Text("b"))), n))),  # one node in several places
        )

    return st.recursive(leaves, extend, max_leaves=6)


def compiled_if_small(tree, num_states):
    try:
        return compile_tree(tree, Limits(states=num_states))
    except InvalidRequest:
        assume(False)
        raise


@settings(max_examples=200, deadline=None)
@given(trees())
def test_membership_is_that_of_the_tree(tree):
    automaton = compiled_if_small(tree, 500)
    accepted = []
    for text in ("".join(letters) for size in range(5) for letters in product(LETTERS + "c", repeat=size)):
        assert automaton.matches(text.encode()) == (len(text) in ends(tree, text, 0)), (tree, text)
        accepted += [len(text.encode())] if automaton.matches(text.encode()) else []
    if accepted and min(accepted) <= 4:
        assert automaton.shortest_length() == min(accepted)
    assert automaton.is_empty == (automaton.shortest_length() is None)


@settings(max_examples=50, deadline=None)
@given(trees())
def test_no_two_states_are_equivalent_and_none_is_dead(tree):
    automaton = compiled_if_small(tree, 50)
    classes = automaton.accepting.astype(int)
    for _ in range(automaton.num_states):
        rows = [
            (classes[s], *(-1 if t == DEAD else classes[t] for t in automaton.transitions[s]))
            for s in range(len(classes))
        ]
        numbers = {row: number for number, row in enumerate(dict.fromkeys(rows))}
        classes = [numbers[row] for row in rows]
    assert len(set(classes)) == automaton.num_states
    if not automaton.is_empty:
        alive = set(automaton.accepting.nonzero()[0])
        for _ in range(automaton.num_states):
            alive |= {s for s in range(automaton.num_states) if alive & set(automaton.transitions[s])}
        assert len(alive) == automaton.num_states


def test_any_character_is_exactly_valid_utf8():
    automaton = compile_tree(Chars(((0, 0x10FFFF),)))
    for code in [*range(0x900), *range(0xD700, 0xE100), *range(0xFFF0, 0x10010), *range(0x10FFF0, 0x110000)]:
        valid = not 0xD800 <= code <= 0xDFFF
        assert automaton.matches(chr(code).encode("utf-8", "surrogatepass")) == valid, hex(code)
    rng = random.Random(0)
    for _ in range(3000):
        data = bytes(
            rng.choice((0x41, 0x80, 0xBF, 0xC1, 0xC3, 0xE0, 0xED, 0xF0, 0xF4, 0xF5, 0x9F, 0xA0))
            for _ in range(rng.randint(1, 4))
        )
        try:
            is_character = len(data.decode()) == 1
        except UnicodeDecodeError:
            is_character = False
        assert automaton.matches(data) == is_character, data


def test_character_sets_split_at_utf8_lengths():
    rng = random.Random(1)
    for _ in range(20):
        cuts = sorted(
            rng.sample([*range(0x70, 0x90), *range(0x7F0, 0x820), *range(0xFFF0, 0x10020), 0xD000, 0xE100], 6)
        )
        ranges = tuple(zip(cuts[::2], cuts[1::2], strict=True))
        automaton = compile_tree(Chars(ranges))
        for code in {c + d for c in cuts for d in range(-2, 3)}:
            inside = any(lo <= code <= hi for lo, hi in ranges) and not 0xD800 <= code <= 0xDFFF
            assert automaton.matches(chr(code).encode("utf-8", "surrogatepass")) == inside


def test_thousands_of_literals_compile_to_a_trie():
    rng = random.Random(2)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(3, 9))) for _ in range(3000)]
    automaton = compile_tree(Either(tuple(map(Text, words))))
    assert all(automaton.matches(word.encode()) for word in words)
    assert not automaton.matches(b"ab") and not automaton.matches(words[0].encode() + b"z")


def test_a_shared_tail_is_built_once():
    tail = Text("")
    for index in range(60):
        tail = Either((tail, Seq((Text(f",{index}"), tail))))
    started = time.thread_time()
    automaton = compile_tree(tail)
    assert automaton.matches(b",3,1,0") and not automaton.matches(b",0,1")
    assert time.thread_time() - started < 5


def test_a_hole_keeps_its_tokens_apart_by_marks():
    automaton = compile_tree(Seq((Text("("), FreeTokens(2), Text(")"))))
    state = automaton.start
    for byte, marks in ((ord("("), True), (ord("x"), True), (ord("y"), False), (ord("z"), True)):
        state = automaton.marked[state] if marks else state
        state = automaton.transitions[state][byte]
        assert state != DEAD
    third = automaton.marked[state]
    assert automaton.transitions[third][ord("w")] == DEAD
    assert automaton.accepting[automaton.transitions[third][ord(")")]]


def test_a_hole_entered_late_counts_from_there():
    automaton = compile_tree(Seq((Repeat(Text("a"), 0, None), FreeTokens(1), Text("!"))))
    state = automaton.start
    for byte in b"aaab!":
        state = automaton.transitions[automaton.marked[state]][byte]
    assert automaton.accepting[state]
    state = automaton.start
    for byte in b"aabb":
        state = automaton.transitions[automaton.marked[state]][byte] if state != DEAD else DEAD
    assert state == DEAD


def test_a_hole_without_a_string_never_holds_it():
    automaton = compile_tree(FreeTokens(None, without=("stop", "é!")))
    assert automaton.matches("sto p é ! sstoé".encode())
    assert not automaton.matches(b"a sstop b") and not automaton.matches("xé!".encode())


def test_a_difference_holds_however_the_text_is_cut_into_tokens():
    tree = Minus(FreeTokens(2), Seq((ANY_TEXT, Text("bc"), ANY_TEXT)))
    automaton = compile_tree(tree)

    def after(*tokens: bytes) -> int:
        state = automaton.start
        for token in tokens:
            state = int(automaton.marked[state])
            for byte in token:
                state = int(automaton.transitions[state, byte])
        return state

    assert automaton.accepting[after(b"ab", b"d")]
    assert after(b"ab", b"c") == DEAD
    assert after(b"ab", b"d", b"e") == DEAD  # a third token


def test_control_tokens_are_symbols_of_their_own():
    automaton = compile_tree(Seq((ANY_TEXT, Special(7), Text("a"))))
    assert [row.tolist()[1] for row in automaton.specials] == [7]
    assert automaton.shortest_length() == 1 and not automaton.matches(b"a")


def test_the_empty_language_is_seen():
    assert compile_tree(Chars(())).is_empty
    assert compile_tree(Both(Text("a"), Text("b"))).shortest_length() is None
    assert compile_tree(Seq((Text("a"), Chars(())))).num_states == 1


@pytest.mark.parametrize(
    "tree",
    [
        Repeat(Repeat(Text("a"), 1, 200), 1, 200),
        Repeat(Repeat(Repeat(Text("a"), 1, 1000), 1, 1000), 1, 1000),
        Repeat(Text("a"), 0, 10**9),
        Seq((ANY_TEXT, Text("a"), Repeat(Chars(((0, 127),)), 30, 30))),
        Seq((FreeTokens(10**6), Text("a"))),
    ],
)
def test_a_constraint_that_explodes_is_refused_with_the_numbers(tree):
    started = time.thread_time()
    with pytest.raises(InvalidRequest, match=r"\d[\d,]* .* the limit is \d"):
        compile_tree(tree, Limits(states=2000))
    assert time.thread_time() - started < 10


def test_time_runs_out_by_name():
    with pytest.raises(InvalidRequest, match=r"more than 0\.01 s"):
        compile_tree(Repeat(Repeat(Text("a"), 1, 100), 1, 100), Limits(seconds=0.01))


def test_a_deep_tree_costs_no_recursion():
    tree = Text("x")
    for _ in range(2000):
        tree = Seq((Text("("), tree, Text(")")))
    assert compile_tree(tree).matches(b"(" * 2000 + b"x" + b")" * 2000)


def test_a_lone_surrogate_is_refused():
    with pytest.raises(InvalidRequest, match="surrogate at index 1"):
        compile_tree(Text("a\ud800"))
