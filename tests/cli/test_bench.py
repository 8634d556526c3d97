import pytest

from redraft.benchmark import run as benchmark


class MadeUp:
    def to_text(self):
        return "table"

    def to_json(self):
        return '{"cases": []}'


@pytest.fixture
def asked(monkeypatch):
    """What was asked of the benchmark; its figures are made up."""
    calls = []
    monkeypatch.setattr(benchmark, "run_benchmark", lambda cases, **options: calls.append((cases, options)) or MadeUp())
    return calls


def test_options_reach_the_benchmark_and_the_report_is_printed_and_written(run, asked, tmp_path):
    out = tmp_path / "result.json"
    chosen = ("--steps", "3", "--pace", "2", "--pace", "5", "--seed", "4", "--no-transformers", "--out", str(out))
    done = run("bench", "-m", "redraft-sudoku", *chosen)
    assert (done.exit_code, done.stdout) == (0, "table\n")
    ((case,), options) = asked[0]
    assert (case.model, case.workload.name) == ("redraft-sudoku", "sudoku")
    assert {name: options[name] for name in ("num_steps", "steps", "seed", "against")} == {
        "num_steps": 3,
        "steps": (2, 5),
        "seed": 4,
        "against": False,
    }
    assert out.read_text() == '{"cases": []}\n'


def test_the_suite_is_the_sudoku_model_and_random_ones_with_two_lengths_of_canvas(run, asked):
    done = run("bench", "--suite")
    assert done.exit_code == 0, done.stderr
    cases, _ = asked[0]
    assert [(case.name, case.is_trained) for case in cases] == [
        ("redraft-sudoku", True),
        ("random-64", False),
        ("random-256", False),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--suite", "-m", "redraft-mini"), "--model with --suite: the suite has its own models"),
        (("--suite", "--prompt-file", __file__), "--prompt-file with --suite: the suite has its own prompts"),
        (("--out", "nowhere/result.json"), "--out nowhere/result.json: want a file in a directory that exists"),
    ],
)
def test_options_that_cannot_act_are_refused_before_anything_is_measured(run, asked, arguments, message):
    done = run("bench", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not asked
