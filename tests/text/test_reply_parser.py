"""A reply's ids to answer, thoughts and tool calls, however they arrive."""

import json
from importlib.resources import files
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.reply import ToolCall
from redraft.text.chat import ChatTemplate
from redraft.text.reply_parser import ReplyParser
from redraft.text.tokenizer import Tokenizer

MODELS = Path(str(files("redraft"))) / "models"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_directory(MODELS / "redraft-mini")


@pytest.fixture(scope="module")
def template(tokenizer) -> ChatTemplate:
    return ChatTemplate.from_directory(MODELS / "redraft-mini", tokenizer)


def parse(tokenizer, pieces, stop=()):
    """All that a caller sees: (answer, reasoning, ids by channel, tool calls, warnings, ids kept)."""
    parser = ReplyParser(tokenizer, stop)
    segments = []
    for piece in pieces:
        segments += parser.push(piece)
        if parser.num_tokens is not None:
            break
    segments += parser.finish()
    text = {name: "".join(s.text for s in segments if s.channel == name) for name in ("answer", "reasoning")}
    ids = [(s.channel, i) for s in segments for i in s.token_ids]
    return text["answer"], text["reasoning"], ids, parser.tool_calls, parser.warnings, parser.num_tokens


def of_text(tokenizer, text, stop=()):
    return parse(tokenizer, [tokenizer.encode(text)], stop)


def test_a_plain_reply_is_all_answer(tokenizer):
    assert of_text(tokenizer, "Hello <b>")[:2] == ("Hello <b>", "")


def test_the_thought_channel_is_reasoning_without_its_name(tokenizer):
    answer, reasoning, ids, calls, warnings, _ = of_text(tokenizer, "<|channel>thought\nhm, well<channel|>Yes.<turn|>")
    assert (answer, reasoning, calls, warnings) == ("Yes.", "hm, well", [], [])
    assert [channel for channel, _ in groupby(ids, lambda pair: pair[0])] == ["reasoning", "answer"]


@pytest.mark.parametrize("thought", ["thought\n", "thought", ""])
def test_an_empty_thought_leaves_no_reasoning(tokenizer, thought):
    assert of_text(tokenizer, f"<|channel>{thought}<channel|>Yes.")[:2] == ("Yes.", "")


@pytest.mark.parametrize("thought", ["thoughtful", "th", "thought: yes\n", "plan\nthought\n"])
def test_a_thought_without_the_header_is_kept_whole(tokenizer, thought):
    assert of_text(tokenizer, f"<|channel>{thought}<channel|>")[1] == thought


def test_a_reply_cut_inside_a_thought_says_so(tokenizer):
    answer, reasoning, _, _, warnings, _ = of_text(tokenizer, "<|channel>thought\nand so on")
    assert (answer, reasoning) == ("", "and so on")
    assert "inside a thought" in warnings[0]


def test_tool_calls_are_read_and_leave_no_text(tokenizer):
    text = 'Wait.<|tool_call>call:get.it{city:<|"|>Zü: {a,b}"\n<|"|>,n:[1,-2.5e3,true,null],o:{a b:{}}}<tool_call|>'
    answer, _, ids, calls, warnings, _ = of_text(tokenizer, text + "<|tool_response>")
    assert (answer, warnings) == ("Wait.", [])
    arguments = {"city": 'Zü: {a,b}"\n', "n": [1, -2500.0, True, None], "o": {"a b": {}}}
    assert calls == [ToolCall(name="get.it", arguments=arguments)]
    assert [i for _, i in ids] == tokenizer.encode(text + "<|tool_response>")


def test_two_calls_and_json_strings_are_read(tokenizer):
    text = '<|tool_call>call:f{}<tool_call|><|tool_call>call:g{"k, x: y":"a, b: c",<|"|>q<|"|>:1}<tool_call|>'
    calls = of_text(tokenizer, text)[3]
    assert calls == [
        ToolCall(name="f", arguments={}),
        ToolCall(name="g", arguments={"k, x: y": "a, b: c", "q": 1}),
    ]


@pytest.mark.parametrize(
    "body",
    [
        "", "f{}", "call:f", "call:{}", "call:f{a:}", "call:f{a:1", "call:f{a:b}", 'call:f{a:<|"|>x}', "call:f{a:NaN}",
        "call:f[1]", "call:f{a:1}x", 'call:f{a:"x}', "call:f{a:" + "[" * 5000 + "]" * 5000 + "}", "call:f{a:\0}", 
        "{" * 3000, "call:f{" + "a," * 3000 + "}", "call:f{a:" + "1" * 5000 + "}",
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_read_is_text_with_a_warning(tokenizer, body):
    answer, _, ids, calls, warnings, _ = of_text(tokenizer, f"a<|tool_call>{body}<tool_call|>b")
    assert calls == []
    assert answer == "a" + body.replace('<|"|>', "") + "b"
    assert len(warnings) == 1 and "could not be read" in warnings[0]
    assert [i for _, i in ids] == tokenizer.encode(f"a<|tool_call>{body}<tool_call|>b")


@pytest.mark.parametrize(("rest", "warning"), [("", "ended inside a tool call"), ("<turn|>", "has no end")])
def test_a_call_without_an_end_is_text_with_a_warning(tokenizer, rest, warning):
    answer, _, _, calls, warnings, _ = of_text(tokenizer, "a<|tool_call>call:f{" + rest)
    assert (answer, calls) == ("acall:f{", [])
    assert warning in warnings[0]


def test_a_call_that_begins_inside_another_is_read(tokenizer):
    answer, _, _, calls, warnings, _ = of_text(tokenizer, "<|tool_call>call:f{<|tool_call>call:g{}<tool_call|>")
    assert (answer, len(warnings)) == ("call:f{", 1)
    assert calls == [ToolCall(name="g", arguments={})]


def test_a_call_inside_a_thought_counts(tokenizer):
    answer, reasoning, _, calls, _, _ = of_text(
        tokenizer, "<|channel>thought\na<|tool_call>call:f{}<tool_call|>b<channel|>c"
    )
    assert (answer, reasoning, len(calls)) == ("c", "ab", 1)


def test_a_stop_string_ends_the_answer_but_not_a_thought(tokenizer):
    text = "<|channel>thought\none\n\ntwo<channel|>three\n\nfour"
    answer, reasoning, ids, _, _, num_tokens = of_text(tokenizer, text, ["\n\n"])
    assert (answer, reasoning) == ("three", "one\n\ntwo")
    assert len(ids) == num_tokens < len(tokenizer.encode(text))


def test_a_stop_string_may_lie_on_both_sides_of_a_call(tokenizer):
    answer, _, _, calls, _, num_tokens = of_text(tokenizer, "xa<|tool_call>call:f{}<tool_call|>bc", ["ab"])
    assert (answer, len(calls)) == ("x", 1)
    assert num_tokens is not None


def test_markers_spelled_as_text_are_text(tokenizer):
    ids = tokenizer.encode_plain("<|channel>thought\n<|tool_call>call:f{}<tool_call|>")
    answer, reasoning, _, calls, _, _ = parse(tokenizer, [ids])
    assert (answer, reasoning, calls) == ("<|channel>thought\n<|tool_call>call:f{}<tool_call|>", "", [])


def test_a_tokenizer_without_the_markers_has_answers_only():
    sudoku = Tokenizer.from_directory(MODELS / "redraft-sudoku")
    assert parse(sudoku, [[3, 5, 6, 1]])[:2] == ("12", "")


PARTS = [
    "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>', "<turn|>", "<|tool_response>", "thought\n",
    "tho", "call:f{", "call:f{a:1}", "a:", "}", "[1,2]", "ab", "b", "\n", "é",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(st.sampled_from(PARTS), max_size=14),
    stop=st.lists(st.text("ab\n:", min_size=1, max_size=3), max_size=3),
    cut=st.lists(st.integers(0, 60), max_size=4),
)
def test_any_split_gives_the_same_reply_and_loses_no_id(tokenizer, parts, stop, cut):
    ids = tokenizer.encode("".join(parts))
    whole = parse(tokenizer, [ids], stop)
    edges = [0, *sorted(c % (len(ids) + 1) for c in cut), len(ids)]
    assert parse(tokenizer, [ids[a:b] for a, b in pairwise(edges)], stop) == whole
    assert parse(tokenizer, [[i] for i in ids], stop) == whole
    kept = [i for _, i in whole[2]]
    assert kept == ids[: len(kept)]
    assert len(kept) == (len(ids) if whole[5] is None else whole[5])


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab\n\"'{}:,é<|", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(arguments=st.dictionaries(st.text("abc_", min_size=1, max_size=4), json_values, max_size=4))
def test_what_the_template_writes_is_read_back(tokenizer, template, arguments):
    call = {"id": "1", "function": {"name": "look", "arguments": json.dumps(arguments)}}
    ids = template.encode([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}])
    start = ids.index(tokenizer.token_id("<|tool_call>"))
    assert parse(tokenizer, [ids[start:]])[3] == [ToolCall(name="look", arguments=arguments)]
