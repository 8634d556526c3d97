"""JSON spellings of strings against json.dumps and json.loads."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.constraints.automaton import compile_tree
from redraft.constraints.json_strings import ANY_CHARACTER, ANY_STRING, FREE_STRING, Speller
from redraft.constraints.tree import Both, Chars, Minus, Repeat, Text

FREE = compile_tree(FREE_STRING)
ANY = compile_tree(Speller().quoted(ANY_STRING))
SCALARS = st.characters(exclude_categories=["Cs"])


@given(st.text(SCALARS))
def test_every_string_of_json_dumps_is_free_and_spelled(text):
    for ensure_ascii in (False, True):
        written = json.dumps(text, ensure_ascii=ensure_ascii).encode()
        assert FREE.matches(written)
        assert ANY.matches(written)


def test_free_strings_take_every_escape_and_no_broken_one():
    assert all(map(FREE.matches, (rb'"\u0061\/\"\\\b\f\n\r\t"', rb'"\uD83D\uDE00"', rb'"\ud83d\ude00x"', b'""')))
    broken = (
        rb'"\ud800"',
        rb'"\ude00\ud83d"',
        rb'"\x41"',
        b'"\n"',
        b'"a',
        b'a"',
        rb'"\u12"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
    )
    assert not any(map(FREE.matches, broken))


@settings(max_examples=60, deadline=None)
@given(st.tuples(SCALARS, SCALARS).map(lambda ends: tuple(sorted(map(ord, ends)))), st.lists(SCALARS, max_size=8))
def test_a_set_of_characters_is_spelled_exactly(ends, others):
    automaton = compile_tree(Speller().quoted(Chars((ends,))))
    for code in {*ends, sum(ends) // 2, *map(ord, others)} - set(range(0xD800, 0xE000)):
        for ensure_ascii in (False, True):
            written = json.dumps(chr(code), ensure_ascii=ensure_ascii).encode()
            assert automaton.matches(written) == (ends[0] <= code <= ends[1])


def test_spelling_commutes_with_intersection_and_difference():
    some = Repeat(Chars(((0x41, 0x5A), (0xE9, 0xE9), (0x1F600, 0x1F600))), 0, None)
    tree = Minus(Both(ANY_STRING, some), Text("é😀"))
    automaton = compile_tree(Speller().quoted(tree))
    for text, wanted in (("é", True), ("AZ😀é", True), ("é😀", False), ("a", False), ("", True)):
        assert automaton.matches(json.dumps(text).encode()) == wanted
        assert automaton.matches(json.dumps(text, ensure_ascii=False).encode()) == wanted


def test_lengths_count_code_points_however_they_are_written():
    automaton = compile_tree(Speller().quoted(Repeat(ANY_CHARACTER, 2, 3)))
    for text in ("ab", "é😀", '"\\', "\x00\n\x7f"):
        assert automaton.matches(json.dumps(text).encode())
        assert automaton.matches(json.dumps(text, ensure_ascii=False).encode())
    assert not any(automaton.matches(json.dumps(text).encode()) for text in ("", "😀", "abcd"))


def test_without_ascii_escapes_only_what_must_be_is_escaped():
    automaton = compile_tree(Speller(ascii_too=False).quoted(ANY_STRING))
    assert automaton.matches('"é\\u0007\\n"'.encode())
    assert not automaton.matches(rb'"\u00e9"')
