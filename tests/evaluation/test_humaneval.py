import gzip
import json
from types import SimpleNamespace

import pytest

from redraft.errors import InvalidRequest
from redraft.evaluation.humaneval import FILES, HumanEvalTask, data_folder
from redraft.evaluation.infill import program
from redraft.evaluation.sandbox import passes

ROW = {
    "task_id": "0",
    "entry_point": "twice",
    "prompt": "def twice(x):\n",
    "suffix": "    return y\n",
    "canonical_solution": "    y = 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n",
}


@pytest.fixture
def folder(tmp_path):
    for file in FILES.values():
        with gzip.open(tmp_path / f"{file}.jsonl.gz", "wt") as lines:
            lines.write(json.dumps(ROW) + "\n")
    return tmp_path


def reply(text):
    return SimpleNamespace(text=text, usage=SimpleNamespace(denoising_steps=4, canvases=1))


def test_a_line_is_filled_without_its_line_break_and_a_span_as_it_is(folder):
    line, span = HumanEvalTask(folder).items(5, seed=0)
    assert (line.bucket, line.answer, line.after) == ("single line", "    y = 2 * x", "\n    return y\n")
    assert (span.bucket, span.answer, span.after) == ("random span", "    y = 2 * x\n", "    return y\n")
    assert line.is_one_line and not span.is_one_line
    assert program(line, line.answer) == program(span, span.answer)


def test_another_right_line_passes_and_a_wrong_one_does_not(folder):
    task = HumanEvalTask(folder)
    item = task.items(1, seed=0)[0]
    assert task.grade(item, reply("    y = x + x")) == {
        "exact": False,
        "parses": True,
        "empty_parses": True,
        "steps_per_canvas": 4,
        "passes": True,
        "empty_passes": False,
    }
    assert not task.grade(item, reply("    y = x"))["passes"]


def test_a_program_that_does_not_parse_is_not_run(folder, monkeypatch):
    run = []
    monkeypatch.setattr("redraft.evaluation.humaneval.passes", run.append)
    item = HumanEvalTask(folder).items(1, seed=0)[0]
    assert not HumanEvalTask(folder).grade(item, reply("    y = = x"))["passes"]
    assert len(run) == 1 and "= =" not in run[0]  # only with nothing in the hole
    assert "passes" not in HumanEvalTask(folder, runs_tests=False).grade(item, reply("    y = x"))


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InvalidRequest, match="HumanEval-SingleLineInfilling"):
        HumanEvalTask(tmp_path).items(1, seed=0)


@pytest.mark.skipif(not data_folder().is_dir(), reason="no humaneval-infilling under REDRAFT_TEST_DATA")
def test_known_solutions_pass_their_tests():
    for item in HumanEvalTask(data_folder()).items(4, seed=0):
        assert passes(f"{program(item, item.answer)}\n{item.test}")
