import json

import pytest

from redraft.evaluation import run as evaluation
from redraft.evaluation import validity as judging

RATE = {"successes": 3, "count": 4, "share": 0.75, "interval": [0.301, 0.954]}
FIGURES = {"solved": RATE, "clues_kept": {"mean": 0.98765, "count": 4, "interval": [0.9, 1.0]}, "steps": None}


@pytest.fixture
def graded(monkeypatch):
    """What the commands ask for; every figure is made up."""
    asked = []

    def evaluate(engine, task, params, *, report, **options):
        asked.append((engine, task, params, options))
        report("refined", 1, 1)
        setting = {"figures": {"all": FIGURES, "24-25 givens": FIGURES}, "cpu_seconds": 7.1}
        named = {name: {**setting, "params": way.params.as_dict()} for name, way in task.settings(params).items()}
        if task.level:
            named = {name: {**way, "curve": {"24": FIGURES}} for name, way in named.items()}
        results = {"task": task.name, "level": task.level, "count": options["count"], "items": 4, "model": "m"}
        return {
            **results,
            "settings": named,
            "denoising": {"bare": {"figures": {"all": {"0.1": {"mean": 0.5, "count": 4}}}}},
        }

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    return asked


def test_every_setting_gets_a_table_and_the_main_rate_its_interval(engine, run, graded):
    done = run("eval", "sudoku", "--count", "4", "--seed", "9", "--entropy-bound", "0.2")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "sudoku, 4 of each kind, 4 in all, m"
    assert [line for line in lines if line and not line.startswith(" ")][1:5] == [
        "refined, 7 s of processor time",
        "never anew, 7 s of processor time",
        "one step, 7 s of processor time",
        "left to right, 7 s of processor time",
    ]
    assert lines[3:6] == [
        "                solved                          clues kept",
        "  all           75.0% (30.1% to 95.4%, 3 of 4)  0.988",
        "  24-25 givens  75.0% (30.1% to 95.4%, 3 of 4)  0.988",
    ]
    assert "solved by number of givens" in lines
    assert "denoising cross-entropy by noise proportion, bare: nats per position, 4 items" in lines
    asked_of, _, params, options = graded[0]
    assert (asked_of, options["count"], options["seed"], params.entropy_bound) == (engine, 4, 9, 0.2)
    assert done.stderr == ""


def test_results_go_to_a_file_and_to_json_with_command_and_machine(engine, run, graded, tmp_path):
    out = tmp_path / "results.json"
    done = run("eval", "forms", "--json", "--out", str(out), "--trained-on", "500")
    written = json.loads(out.read_text())
    assert json.loads(done.stdout) == written
    assert (written["task"], written["trained_on"]) == ("forms", 500)
    assert written["command"].startswith("redraft ") and written["machine"]["device"]


def test_a_task_is_put_to_the_model_shipped_for_it(engine, run, graded, tmp_path):
    run("eval", "sudoku")
    run("eval", "sampler")
    run("eval", "forms")
    run("eval", "infill", "--corpus", str(tmp_path))
    run("eval", "sudoku", "-m", "other")
    models = ["redraft-sudoku", "redraft-sudoku", "redraft-mini", "redraft-mini", "other"]
    assert [model for model, _ in engine.loaded] == models


def test_a_sweep_is_a_grid_of_bounds_and_step_limits(engine, run, graded):
    lines = run("eval", "sampler").stdout.splitlines()
    assert lines[2] == "solved, by entropy bound (nats) and most denoising steps"
    assert lines[3].split() == ["1", "2", "4", "8", "16", "32", "48"]
    assert lines[4].split() == ["0.03", *["75.0%"] * 7]
    assert graded[0][3]["num_noised"] == 0


def test_forms_may_ask_with_a_schema(engine, run, graded):
    run("eval", "forms", "--style", "schema")
    assert graded[0][1].name == "forms by schema"


def test_humaneval_runs_tests_unless_told_not_to(engine, run, graded, tmp_path):
    run("eval", "humaneval", "--data", str(tmp_path))
    run("eval", "humaneval", "--data", str(tmp_path), "--no-tests")
    assert [(task.folder, task.runs_tests) for _, task, _, _ in graded] == [(tmp_path, True), (tmp_path, False)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("chess",),
        ("infill",),
        ("infill", "--corpus", "/not/there"),
        ("sudoku", "--decoding", "autoregressive"),
        ("forms", "--top-k", "3"),
        ("sampler", "--entropy-bound", "0.1"),
        ("plot", "x.png"),
    ],
)
def test_what_a_task_does_not_know_or_lacks_is_refused_before_a_model_is_loaded(engine, run, graded, arguments):
    assert run("eval", *arguments).exit_code == 2
    assert engine.loaded == []


@pytest.mark.parametrize(("faults", "status"), [([], 0), ([{"case": "c", "params": {"seed": 3}, "why": "no JSON"}], 1)])
def test_validity_counts_by_kind_and_fails_where_a_reply_is_bad(run, monkeypatch, faults, status):
    verdicts = {"valid": 5, "invalid": len(faults), "refused": 0}
    figures = {"kinds": {"regex": verdicts}, "invalid": faults}
    asked = []
    monkeypatch.setattr(judging, "measured", lambda options, command: asked.append(options) or iter([{}, figures]))
    done = run("eval", "validity", "--count", "5", "-m", "some-model")
    assert done.exit_code == status
    assert done.stdout.splitlines()[0] == f"regex     5 valid, {len(faults)} invalid, 0 refused"
    assert (asked[0].model, asked[0].replies) == ("some-model", 5)
    assert ("seed 3: no JSON" in done.stdout) is bool(faults)


def test_a_results_file_is_drawn(engine, run, graded, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra `train`")
    out, picture = tmp_path / "results.json", tmp_path / "curve.svg"
    run("eval", "sudoku", "--out", str(out))
    done = run("eval", "plot", str(picture), str(out))
    assert done.stdout.strip() == str(picture) and "<svg" in picture.read_text()
