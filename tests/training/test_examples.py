"""Lines of chats and of completions: only answers are learned, long ones a canvas at a time, bad lines named."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from redraft.errors import InvalidRequest, LoadError
from redraft.text.chat import ChatTemplate
from redraft.training.examples import Example, ExampleReader, ExampleSource

MODELS = Path(str(files("redraft"))) / "models"
EOS, TURN_END = 1, 6
USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}


@pytest.fixture(scope="module")
def reader() -> ExampleReader:
    return ExampleReader.from_directory(MODELS / "redraft-mini")


def read(reader, value) -> list[Example]:
    return list(reader.line(value if isinstance(value, str) else json.dumps(value)))


def test_a_chat_is_the_prompt_that_is_served_and_the_answer_to_the_end_of_its_turn(reader):
    ((prompt, answer),) = read(reader, {"messages": [USER, ANSWER]})
    assert prompt == reader.template.encode([USER])
    assert answer == [*reader.tokenizer.encode_plain("yes"), TURN_END]


def test_every_answer_of_a_chat_is_an_example_unless_its_weight_is_zero(reader):
    chat = [USER, {**ANSWER, "weight": 0}, USER, ANSWER, USER, {**ANSWER, "content": "no"}]
    examples = read(reader, {"messages": chat})
    assert [reader.tokenizer.decode(answer) for _, answer in examples] == ["yes", "no"]
    assert examples[1].prompt == reader.template.encode(chat[:-1])


def test_thoughts_and_tools_go_through_the_template(reader):
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    chat = [USER, {"role": "assistant", "content": "yes", "reasoning": "hmm"}]
    ((prompt, answer),) = read(reader, {"messages": chat, "tools": [tool]})
    assert prompt == reader.template.encode([USER], tools=[tool], thinking=True)
    assert answer[0] == reader.tokenizer.control_tokens["<|channel>"] and answer[-1] == TURN_END
    chat = [USER, {"role": "assistant", "content": None, "tool_calls": [call]}]
    ((_, answer),) = read(reader, {"messages": chat})
    assert answer[-2:] == [reader.tokenizer.control_tokens["<tool_call|>"], EOS]


def test_a_completion_follows_the_prompt_as_a_raw_prompt_is_served_and_ends_in_the_first_end_id(reader):
    ((prompt, answer),) = read(reader, {"prompt": "def f(", "completion": "x):"})
    assert prompt == reader.tokenizer.encode_prompt("def f(")
    assert answer == [*reader.tokenizer.encode("x):"), EOS]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[1]", "want the keys prompt and completion"),
        ({"prompt": "a"}, "want the keys prompt and completion"),
        ({"messages": [USER, ANSWER], "extra": 1}, "want the keys prompt and completion"),
        ({"prompt": 1, "completion": "b"}, "prompt=1: want text"),
        ({"prompt": "a", "completion": ""}, "completion=''"),
        ({"messages": []}, "at least one of an assistant"),
        ({"messages": "hi"}, "want a list of objects"),
        ({"messages": [USER]}, "at least one of an assistant"),
        ({"messages": [{"role": "robot", "content": "hi"}, ANSWER]}, "role='robot'"),
        ({"messages": [USER, {"role": "assistant", "content": 3}]}, "content=3"),
        ({"messages": [USER, ANSWER], "tools": [{}]}, "tools[0]"),
        ({"prompt": "a b " * 2100, "completion": "b"}, "tokens of context: want at most 4096"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_the_reason(reader, tmp_path, line, said):
    file = tmp_path / "data.jsonl"
    good = json.dumps({"prompt": "a", "completion": "b\u2028c"}, ensure_ascii=False)
    file.write_text(f"{good}\n\n{line if isinstance(line, str) else json.dumps(line)}\n", encoding="utf-8")
    with pytest.raises(LoadError) as caught:
        reader.file(file)
    assert "data.jsonl, line 3: " in str(caught.value) and said in str(caught.value)


def test_a_file_without_examples_or_without_text_is_refused(reader, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe{}")
    for name, said in (("empty", "has no lines"), ("bytes", "cannot be read"), ("none", "cannot be read")):
        with pytest.raises(LoadError, match=said):
            reader.file(tmp_path / f"{name}.jsonl")


def test_chats_need_a_template_and_every_prompt_a_token(reader):
    plain = replace(reader, template=ChatTemplate(None, reader.tokenizer))
    with pytest.raises(InvalidRequest, match="no chat template"):
        read(plain, {"messages": [USER, ANSWER]})
    sudoku = ExampleReader.from_directory(MODELS / "redraft-sudoku")
    ((prompt, answer),) = read(sudoku, {"prompt": "1..", "completion": "123"})
    assert (prompt, answer) == ([2, 5, 4, 4, 3], [5, 6, 7, 1])


def examples(count: int = 7) -> tuple[Example, ...]:
    return tuple(Example([10 + i] * (2 + i % 3), [30 + i, 40, EOS]) for i in range(count))


def rows(source, index, size):
    return [
        (prompt.tolist(), canvas.tolist())
        for group in source.batch(index, size)
        for prompt, canvas in zip(group.prompt, group.canvas, strict=True)
    ]


def test_a_batch_holds_equally_long_prompts_without_padding_and_canvases_filled_to_their_end():
    source = ExampleSource(examples(), canvas_length=5, fill_id=EOS)
    groups = source.batch(0, 7)
    assert [group.prompt.shape[1] for group in groups] == [2, 3, 4]
    assert sum(map(len, groups)) == 7
    assert sorted(rows(source, 0, 7)) == sorted((e.prompt, [*e.answer, EOS, EOS]) for e in examples())


def test_every_pass_shows_each_example_once_in_an_order_of_its_own_whatever_was_asked_before():
    source = ExampleSource(examples(), canvas_length=3, fill_id=EOS)
    twice = sorted(canvas[0] for index in range(7) for _, canvas in rows(source, index, 2))
    assert twice == sorted(2 * [30 + i for i in range(7)])
    assert sorted(rows(source, 0, 7)) == sorted(rows(source, 1, 7))
    again = ExampleSource(examples(), canvas_length=3, fill_id=EOS)
    assert rows(again, 5, 2) == rows(source, 5, 2)
    other = ExampleSource(examples(), canvas_length=3, fill_id=EOS, seed=1)
    assert any(rows(other, i, 2) != rows(source, i, 2) for i in range(3))


def test_one_canvas_of_a_long_answer_is_drawn_and_what_is_before_it_is_prompt():
    source = ExampleSource((Example([9], [11, 12, 13, 14, EOS]),), canvas_length=2, fill_id=EOS)
    seen = {(tuple(prompt), tuple(canvas)) for index in range(40) for prompt, canvas in rows(source, index, 1)}
    assert seen == {((9,), (11, 12)), ((9, 11, 12), (13, 14)), ((9, 11, 12, 13, 14), (EOS, EOS))}


def test_the_data_are_named_by_their_hash():
    first, second = (ExampleSource(examples(n), 3, EOS).describe() for n in (6, 7))
    assert first["sha256"] != second["sha256"] and second["examples"] == 7
