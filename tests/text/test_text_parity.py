"""The same ids as transformers, for the shipped tokenizers and the chat template."""

from importlib.resources import files
from pathlib import Path

import pytest

from redraft.text.chat import ChatTemplate
from redraft.text.tokenizer import Tokenizer

MODELS = Path(str(files("redraft"))) / "models"


@pytest.fixture(scope="module")
def load():
    auto = pytest.importorskip("transformers").AutoTokenizer
    return lambda name: (Tokenizer.from_directory(MODELS / name), auto.from_pretrained(MODELS / name))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("redraft-sudoku", "53..7....\n6..195...<|turn>"),
        ("redraft-mini", "def f(x):\n    return x  # é 😀 1234\n<|turn>user\nhi<turn|><|suffix|>"),
    ],
)
def test_a_prompt_has_the_ids_transformers_gives_and_comes_back_as_the_same_text(load, name, text):
    ours, theirs = load(name)
    ids = ours.encode_prompt(text)
    assert ids == theirs(text)["input_ids"]
    assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_transformers_knows_the_same_control_tokens(load):
    for name in ("redraft-sudoku", "redraft-mini"):
        ours, theirs = load(name)
        assert set(theirs.all_special_ids) <= ours.special_ids


def test_the_chat_template_gives_the_ids_transformers_gives(load):
    ours, theirs = load("redraft-mini")
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": {"at": "x", "n": [1, 2.5, True]}}}
    tool = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi\n  there "},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "look", "tool_call_id": "1", "content": "42"},
    ]
    template = ChatTemplate.from_directory(MODELS / "redraft-mini", ours)
    for tools, thinking in ((None, False), ([tool], True)):
        expected = theirs.apply_chat_template(
            messages, tools=tools, enable_thinking=thinking, add_generation_prompt=True, return_dict=False
        )
        assert template.encode(messages, tools=tools, thinking=thinking) == expected
