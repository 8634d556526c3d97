import ast

import pytest

from redraft.benchmark.workload import PYTHON_PROMPTS, workload_for, workload_from
from redraft.errors import InvalidRequest
from redraft.evaluation.sudoku import PUZZLES


def test_the_sudoku_model_gets_puzzles_wherever_it_lies():
    assert workload_for("redraft-sudoku").prompts == workload_for("/some/where/redraft-sudoku").prompts == PUZZLES


def test_any_other_model_gets_python():
    assert workload_for("org/name").prompts == PYTHON_PROMPTS


@pytest.mark.parametrize("prompt", PYTHON_PROMPTS)
def test_a_python_prompt_begins_a_file_that_can_be_finished(prompt):
    endings = ("", "pass", "    pass", "        pass", "            pass")
    assert any(_parses(prompt + ending) for ending in endings) or _parses(prompt + "letters == letters[::-1]")


def test_a_file_is_one_prompt(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    workload = workload_from(str(tmp_path / "a.txt"))
    assert (workload.name, workload.prompts) == ("a.txt", ("one\ntwo\n",))


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(" \n")
    with pytest.raises(InvalidRequest, match="is empty"):
        workload_from(str(tmp_path / "a.txt"))


def _parses(text):
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
