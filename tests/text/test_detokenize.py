"""Ids in pieces to text: the same text and the same cut, however the ids are split."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.errors import InvalidRequest
from redraft.text.detokenize import Detokenizer
from redraft.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(byte_level_directory) -> Tokenizer:
    return Tokenizer.from_directory(byte_level_directory)


@pytest.fixture(scope="module")
def single(tokenizer):
    """The function from bytes to the ids of the single bytes."""
    index = {piece: i for i, piece in enumerate(tokenizer.token_bytes) if piece is not None}
    return lambda data: [index[bytes([byte])] for byte in data]


def run(tokenizer, pieces, stop=()):
    """(text of each piece, ids to keep): what a caller sees who pushes piece after piece and then finishes."""
    detokenizer = Detokenizer(tokenizer, stop)
    texts = []
    for piece in pieces:
        result = detokenizer.push(piece)
        texts.append(result.text)
        if result.num_tokens is not None:
            return texts, result.num_tokens
    result = detokenizer.finish()
    return [*texts, result.text], result.num_tokens


def cut(text, stop):
    """Oracle: the text before the first stop string to be complete, the longest of those that end together."""
    found = [
        (text.find(s, start) + len(s), -len(s)) for s in stop for start in range(len(text)) if text.find(s, start) >= 0
    ]
    if not found:
        return text
    end, negative = min(found)
    return text[: end + negative]


def splits(ids, cuts):
    edges = [0, *sorted(cut % (len(ids) + 1) for cut in cuts), len(ids)]
    return [ids[a:b] for a, b in pairwise(edges)]


@settings(max_examples=200, deadline=None)
@given(
    ids=st.lists(st.integers(0, 333), max_size=20),
    cuts=st.lists(st.integers(0, 20), max_size=5),
    stop=st.lists(st.text("ret ua\n", min_size=1, max_size=4), max_size=5),
)
def test_any_split_gives_the_text_of_the_whole_and_the_same_cut(tokenizer, ids, cuts, stop):
    texts, num_tokens = run(tokenizer, splits(ids, cuts), stop)
    whole, whole_num_tokens = run(tokenizer, [ids], stop)
    assert "".join(texts) == "".join(whole) == cut(tokenizer.decode(ids), stop)
    assert num_tokens == whole_num_tokens


@settings(max_examples=200, deadline=None)
@given(
    text=st.text("aabc", max_size=30), stop=st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=64)
)
def test_the_kept_tokens_end_with_the_one_that_completes_the_stop(tokenizer, single, text, stop):
    ids = single(text.encode())
    texts, num_tokens = run(tokenizer, [[i] for i in ids], stop)
    assert "".join(texts) == cut(text, stop)
    if num_tokens is None:
        assert not any(s in text for s in stop)
    else:
        kept = tokenizer.decode(ids[:num_tokens])
        assert any(kept.endswith(s) for s in stop)
        assert not any(s in kept[:-1] for s in stop)


@settings(max_examples=200, deadline=None)
@given(text=st.text("aabé", max_size=30), stop=st.lists(st.text("abé", min_size=1, max_size=4), min_size=1, max_size=5))
def test_nothing_is_held_back_that_no_stop_string_can_take(tokenizer, single, text, stop):
    detokenizer = Detokenizer(tokenizer, stop)
    shown = ""
    for end, character in enumerate(text, start=1):
        shown += detokenizer.push(single(character.encode())).text
        if detokenizer.is_stopped:
            return
        held = text[len(shown) : end]
        assert held == "" or any(s.startswith(held) for s in stop)


def test_a_character_in_two_pieces_appears_when_it_is_whole(tokenizer, single):
    first, second = single("ü".encode())
    assert run(tokenizer, [[first], [second]])[0] == ["", "ü", ""]


def test_an_unfinished_character_at_the_end_becomes_the_replacement_character(tokenizer, single):
    first, _ = single("ü".encode())
    assert run(tokenizer, [[first]])[0] == ["", "\ufffd"]


def test_a_stop_string_across_pieces_is_cut_and_the_last_token_counted(tokenizer, single):
    texts, num_tokens = run(tokenizer, [single(b"one\n"), single(b"\ntwo")], ["\n\n"])
    assert texts == ["one", ""]
    assert num_tokens == 5


def test_text_after_a_stop_string_inside_one_token_is_cut_too(tokenizer):
    ids = tokenizer.encode(" return")
    assert len(ids) == 1
    assert run(tokenizer, [ids], ["tu"]) == ([" re"], 1)


def test_control_tokens_have_no_text_and_do_not_break_a_stop_string(tokenizer, single):
    marker = tokenizer.token_id("<turn|>")
    assert run(tokenizer, [[*single(b"ab"), marker, *single(b"c")]], ["bc"]) == (["a"], 4)


def test_what_was_held_back_comes_at_the_end(tokenizer, single):
    assert run(tokenizer, [single(b"a\n")], ["\n\n"]) == (["a", "\n"], None)


def test_an_id_outside_the_vocabulary_is_refused(tokenizer):
    with pytest.raises(InvalidRequest, match="token id 100000"):
        Detokenizer(tokenizer).push([100000])
