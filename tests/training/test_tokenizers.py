"""The shipped tokenizers are what their functions make."""

import itertools
import json
import random
from importlib.resources import files
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from redraft.training.forms import documents
from redraft.training.tokenizers import (
    MINI_TOKENS,
    SUDOKU_TOKENS,
    mini_corpus,
    mini_tokenizer,
    sudoku_tokenizer,
    write_sudoku,
)

SHIPPED = Path(str(files("redraft"))) / "models"


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_the_shipped_sudoku_tokenizer_is_what_its_function_writes(tmp_path, name):
    write_sudoku(tmp_path)
    assert (tmp_path / name).read_text() == (SHIPPED / "redraft-sudoku" / name).read_text()


def test_sudoku_ids_are_the_ones_the_recipe_counts_on():
    tokenizer = sudoku_tokenizer()
    assert tokenizer.get_vocab_size() == 16
    assert [tokenizer.id_to_token(i) for i in range(16)] == list(SUDOKU_TOKENS)
    assert [tokenizer.token_to_id(token) for token in ("<pad>", "<eos>", "<bos>", "<|turn>", ".", "1", "9")] == [
        0, 1, 2, 3, 4, 5, 13,
    ]  # fmt: skip


def test_a_sudoku_prompt_is_bos_then_a_token_per_cell_then_the_turn_mark():
    board = "0..123456789" + "." * 69
    ids = sudoku_tokenizer().encode(board).ids
    assert len(ids) == 83
    assert ids[:13] == [2, 4, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    assert ids[-1] == 3


def test_line_breaks_and_spaces_between_sudoku_cells_are_dropped():
    tokenizer = sudoku_tokenizer()
    assert tokenizer.encode("1 2 3\n4\t0.\r\n").ids == tokenizer.encode("1234..").ids


def test_sudoku_text_comes_back_without_spaces():
    tokenizer: Tokenizer = sudoku_tokenizer()
    assert tokenizer.decode(tokenizer.encode("53..7").ids) == "53..7"


@pytest.fixture(scope="module")
def mini() -> Tokenizer:
    return Tokenizer.from_file(str(SHIPPED / "redraft-mini" / "tokenizer.json"))


@pytest.fixture(scope="module")
def small_corpus() -> list[str]:
    """Enough different words for 4,096 ids."""
    rng = random.Random(0)
    return [f"def {''.join(rng.choices('abcdefghilmnoprstu', k=7))}(x):\n    return x\n" for _ in range(5000)] * 2


def test_the_shipped_mini_tokenizer_has_4096_ids_and_all_bytes(mini):
    assert mini.get_vocab_size() == 4096
    assert [mini.id_to_token(i) for i in range(len(MINI_TOKENS))] == list(MINI_TOKENS)
    every_byte = {mini.decode([i]) for i in range(4096)}
    assert {chr(code) for code in range(128)} <= every_byte
    assert mini.decode(mini.encode("ünï ☃ 😀").ids) == "ünï ☃ 😀"


def test_the_shipped_mini_tokenizer_is_built_as_its_function_builds(mini, small_corpus):
    built, shipped = json.loads(mini_tokenizer(small_corpus).to_str()), json.loads(mini.to_str())
    for part in ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"):
        assert built[part] == shipped[part]


def test_training_the_mini_tokenizer_twice_gives_the_same_bytes(small_corpus):
    assert mini_tokenizer(small_corpus).to_str() == mini_tokenizer(small_corpus).to_str()


def test_a_corpus_too_small_for_4096_ids_is_refused():
    with pytest.raises(ValueError, match="want 4096"):
        mini_tokenizer(["too little"])


def test_mini_digits_stay_single_and_a_prompt_begins_with_bos(mini):
    tokens = mini.encode("x1 = 2048").tokens
    assert tokens[0] == "<bos>"
    assert [token for token in tokens if any(c.isdigit() for c in token)] == ["1", "2", "0", "4", "8"]


def test_mini_joins_a_line_break_with_its_indentation(mini):
    assert "\n        " in [mini.decode([i]) for i in mini.encode("if x:\n        return y").ids]


def test_mini_holds_python_in_few_tokens(mini):
    code = "def add(first, second):\n    return first + second\n"
    assert len(code) / len(mini.encode(code).ids) > 2.5


def test_forms_are_a_tenth_of_the_mini_corpus(tmp_path):
    row = {"package": "p", "path": "p.py", "text": "x" * 90_000}
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
    first, *others = mini_corpus(tmp_path)
    assert first == row["text"]
    assert 10_000 <= sum(map(len, others)) < 11_000


def test_made_up_documents_are_the_same_for_a_seed_and_json_among_them_parses():
    first, again = (list(itertools.islice(documents(5), 200)) for _ in range(2))
    assert first == again
    parsed = [json.loads(text) for text in first if text.startswith("{") and "'" not in text]
    assert len(parsed) > 50
