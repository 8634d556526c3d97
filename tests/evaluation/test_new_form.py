import json
from itertools import islice

import pytest

from redraft.evaluation.new_form import SENTENCES, UNSEEN_SENTENCES, main, tickets
from redraft.training import run


def test_every_value_asked_for_stands_in_the_note_and_the_form_asks_in_order():
    for question, answer in islice(tickets(0), 200):
        note, empty = question["content"].split("\n")
        wanted = json.loads(answer["content"])
        assert list(json.loads(empty)) == list(wanted) and 2 <= len(wanted) <= 4
        assert all(str(value) in note for value in wanted.values())
    assert not set(SENTENCES) & set(UNSEEN_SENTENCES)


def test_tickets_are_a_function_of_their_seed():
    assert list(islice(tickets(3), 5)) == list(islice(tickets(3), 5)) != list(islice(tickets(4), 5))


def test_the_command_grades_the_model_before_and_after_each_way_of_teaching(tmp_path, capsys):
    main(["--model", "redraft-mini", "--out", str(tmp_path), "--count", "1", "--examples", "16", "--epochs", "1"])
    results = json.loads(capsys.readouterr().out)
    assert results == json.loads((tmp_path / "figures.json").read_text())
    before, *taught = results["figures"].values()
    assert "training" not in before and len(taught) == 3
    trained = [figures["training"]["trained_parameters"] for figures in taught]
    assert trained == sorted(trained) and all(figures["training"]["updates"] == 1 for figures in taught)


def test_a_variant_that_was_stopped_halfway_is_not_graded(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "run", lambda trainer: trainer.save())
    with pytest.raises(SystemExit, match="adapter without experts was stopped at update 0 of 1"):
        main(["--model", "redraft-mini", "--out", str(tmp_path), "--count", "1", "--examples", "16", "--epochs", "1"])
    assert not (tmp_path / "figures.json").exists()
