import json

import pytest

from redraft.evaluation import run as evaluation


@pytest.fixture
def graded(monkeypatch):
    asked = []

    def evaluate(engine, task, settings, **options):
        asked.append((engine, task.name, settings, options))
        rate = {"successes": 3, "count": 4, "share": 0.75, "interval": [0.301, 0.954]}
        figures = {"solved": rate, "denoising_steps": 12.3456, "seconds": None}
        figures = {"all": figures, "24-25 givens": figures}
        return {"task": task.name, "model": "m", "settings": {name: {"figures": figures} for name in settings}}

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    return asked


def test_both_settings_get_a_table_with_intervals(engine, run, graded):
    done = run("eval", "sudoku", "--count", "4", "--seed", "9", "--entropy-bound", "0.2")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "sudoku, 4 of each kind, m"
    assert [line for line in lines if line and not line.startswith(" ")][1:] == ["one step", "refined"]
    assert lines[-4:] == [
        "                   all                             24-25 givens",
        "  solved           75.0% (30.1% to 95.4%, 3 of 4)  75.0%",
        "  denoising steps  12.3                            12.3",
        "  seconds          none                            none",
    ]
    fake, name, settings, options = graded[0]
    assert (fake, name, options["count"], options["seed"]) == (engine, "sudoku", 4, 9)
    assert settings["one step"].max_denoising_steps == 1
    assert settings["refined"].entropy_bound == 0.2


def test_results_go_to_a_file_and_to_json(engine, run, graded, tmp_path):
    done = run("eval", "sudoku", "--json", "--out", str(tmp_path / "results.json"))
    assert json.loads(done.stdout) == json.loads((tmp_path / "results.json").read_text())
    assert json.loads(done.stdout)["task"] == "sudoku"


def test_an_unknown_task_is_refused(engine, run, graded):
    assert run("eval", "chess").exit_code == 2
    assert engine.loaded == []
