import json
from types import SimpleNamespace

import pytest

from redraft.constraints.spec import Choice, Free, JSONSchema, Regex, Template


@pytest.fixture
def files(tmp_path):
    (tmp_path / "schema.json").write_text('{"type": "boolean"}')
    (tmp_path / "letter.txt").write_text("Dear {name},\n{body}\n")
    (tmp_path / "broken.json").write_text("{")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "constraint"),
    [
        (["--regex", "[0-9]+"], Regex("[0-9]+")),
        (["--choice", "yes,no"], Choice(["yes", "no"])),
        (["--json-schema", "schema.json"], JSONSchema({"type": "boolean"})),
        (
            ["--template", "letter.txt", "--hole", "name=[A-Z][a-z]+"],
            Template("Dear {name},\n{body}\n", holes={"name": Regex("[A-Z][a-z]+"), "body": Free()}),
        ),
    ],
)
def test_each_option_makes_its_constraint(engine, run, files, monkeypatch, arguments, constraint):
    monkeypatch.chdir(files)
    done = run("solve", *arguments, "when?")
    assert (done.exit_code, done.stdout) == (0, "WHEN?\n"), done.stderr
    assert engine.asked[0][0] == (constraint, "when?")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "want one of --regex"),
        (["--regex", "a", "--choice", "b"], "want one of --regex"),
        (["--regex", "a", "--hole", "x=y"], "--hole goes with --template"),
        (["--template", "letter.txt", "--hole", "name"], "want NAME=PATTERN"),
        (["--template", "letter.txt", "--hole", "nome=x"], "nome"),
        (["--regex", r"(?=a)b"], ""),
        (["--json-schema", "broken.json"], "not JSON"),
    ],
)
def test_what_is_wrong_with_a_constraint_is_said_before_a_model_is_loaded(
    engine, run, files, monkeypatch, arguments, word
):
    monkeypatch.chdir(files)
    done = run("solve", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert word in done.stderr
    assert engine.loaded == []


def test_options_that_fight_a_constraint_are_not_offered(engine, run):
    assert run("solve", "--regex", "a", "--top-k", "5").exit_code == 2


DECISION = SimpleNamespace(label="yes", probabilities={"no": 0.25, "yes": 0.75}, confidence=0.19, mass=0.5)


def test_ask_prints_a_line_per_question(engine, run, files):
    (files / "questions.json").write_text('{"urgent": {"type": "predicate", "instructions": "Urgent?"}}')
    asked = []
    engine.decide = lambda state, questions, reads: asked.append((state, questions, reads)) or {"urgent": DECISION}
    done = run("ask", str(files / "schema.json"), str(files / "questions.json"), "--reads", "3")
    assert done.stdout == "urgent: yes (yes 75%, no 25%; confidence 0.19, mass 0.5)\n"
    assert asked == [({"type": "boolean"}, json.loads((files / "questions.json").read_text()), 3)]


def test_a_state_that_is_no_json_is_refused_by_name(engine, run, files):
    done = run("ask", str(files / "broken.json"), str(files / "schema.json"))
    assert done.exit_code == 2
    assert "broken.json: not JSON" in done.stderr
