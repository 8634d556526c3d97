"""The command on a scripted trainer; the real one has its own tests."""

from types import SimpleNamespace

import pytest

from redraft.cli import train as train_module
from redraft.training import metrics
from redraft.training import run as training


@pytest.fixture
def calls(monkeypatch):
    made = SimpleNamespace(trainer=SimpleNamespace(update=40), started=[], ran=[], exported=[])
    monkeypatch.setattr(training, "sudoku_config", lambda out, data, seed: ("config", out, data, seed))
    monkeypatch.setattr(training, "start", lambda *a, **k: made.started.append((a, k)) or made.trainer)
    monkeypatch.setattr(training, "export_sudoku", lambda *a, **k: made.exported.append((a, k)) or a[1])

    def run(trainer, seconds, report):
        made.ran.append(seconds)
        for _ in range(3):
            report("progress")
        trainer.update = 70

    monkeypatch.setattr(training, "run", run)
    monkeypatch.setattr(metrics, "progress_line", str)
    monkeypatch.setattr(train_module, "resolve", lambda name: f"the directory of {name}")
    return made


def test_options_reach_the_run_and_its_ends_are_said(calls, run, tmp_path):
    done = run("train", "sudoku", "--out", "folder", "--seed", "3", "--seconds", "5", "--decay", "9")
    assert done.exit_code == 0, done.stderr
    assert calls.started == [(("folder", ("config", "folder", None, 3)), {"decay": 9, "weights": None})]
    assert calls.ran == [5.0]
    assert done.stderr.splitlines() == [
        "preparing sudoku: making its data takes minutes where there is none",
        "sudoku in folder, from update 40",
        "stopped at update 70; the checkpoint is in folder",
    ]
    assert calls.exported == []


def test_piped_progress_is_a_line_a_minute(calls, run, monkeypatch):
    now = iter([1000.0, 1000.0, 1030.0, 1060.0, 1060.0])
    monkeypatch.setattr(train_module.time, "monotonic", lambda: next(now))
    assert run("train", "sudoku", "--out", "folder").stdout == "progress\nprogress\n"


def test_export_writes_the_model_with_the_shipped_tokenizer(calls, run):
    done = run("train", "sudoku", "--out", "folder", "--export", "model")
    assert calls.exported == [(("folder", "model", "the directory of redraft-sudoku"), {})]
    assert done.stderr.splitlines()[-1] == "exported to model: try redraft generate -m model"


@pytest.mark.parametrize("arguments", [["sudoku"], ["chess", "--out", "x"], ["sudoku", "--out", "x", "--decay", "0"]])
def test_wrong_arguments_start_nothing(calls, run, arguments):
    assert run("train", *arguments).exit_code == 2
    assert calls.started == []
