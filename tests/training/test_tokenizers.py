"""The shipped tokenizers are what their functions make."""

from importlib.resources import files
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from redraft.training.tokenizers import SUDOKU_TOKENS, sudoku_tokenizer, write_sudoku

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
