import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import redraft
from redraft.evaluation import validity
from redraft.evaluation.validity_cases import infill_cases, regex_cases, schema_case, template_cases
from redraft.reply import Draft
from redraft.text.tokenizer import Tokenizer

MINI = Path(redraft.__file__).parent / "models" / "redraft-mini"


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_directory(MINI)


def test_replies_of_a_random_model_are_counted_and_all_valid(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("REDRAFT_TEST_DATA", str(tmp_path))
    monkeypatch.setattr(validity, "SCHEMAS", {"few": {"enum": [1, "é"]}})
    out = tmp_path / "validity.json"
    asked = ["--random-weights", str(MINI), "--replies", "12", "--seed", "3", "--steps", "2", "--out", str(out)]
    assert validity.main(asked) == 0
    results = json.loads(out.read_text())
    assert results == json.loads(capsys.readouterr().out)
    assert results["replies"] == results["asked"] == 12
    assert sum(kind["valid"] for kind in results["kinds"].values()) == 12
    assert results["notes"]["float32"] == results["notes"]["bfloat16"] == 6


def test_a_text_outside_its_pattern_is_a_fault(tokenizer):
    date = regex_cases()[0]
    assert date.fault(SimpleNamespace(text="2026-01-31"), tokenizer) is None
    assert date.fault(SimpleNamespace(text="2026-01-31 "), tokenizer)


def test_json_outside_its_schema_and_broken_json_are_faults(tokenizer):
    case = schema_case("day", {"type": "string", "format": "date"})
    assert case.fault(SimpleNamespace(text='"2026-01-31"'), tokenizer) is None
    assert "2026-02-31" in case.fault(SimpleNamespace(text='"2026-02-31"'), tokenizer)
    assert case.fault(SimpleNamespace(text='"2026-01-31'), tokenizer)


def test_holes_that_do_not_make_up_the_text_are_a_fault(tokenizer):
    case = template_cases()[0]
    holes = {"name": "Ada", "age": "36"}
    assert case.fault(SimpleNamespace(text="Name: Ada\nAge: 36.", holes=holes), tokenizer) is None
    assert case.fault(SimpleNamespace(text="Name: Bob\nAge: 36.", holes=holes), tokenizer)
    assert case.fault(SimpleNamespace(text="Name: Ada\nAge: .", holes={**holes, "age": ""}), tokenizer)


def test_a_canvas_that_spells_another_text_than_the_reply_is_a_fault(tokenizer):
    case = next(case for case in infill_cases() if case.constraint.before == "x = ")
    right, wrong = (tuple(tokenizer.encode(text)) for text in (" 123\ny =", " 124\ny ="))
    draft = {"canvas_index": 0, "denoising_step": 0, "text": "", "changed": (), "accepted": ()}
    for ids, is_fault in ((right, False), (wrong, True)):
        event = Draft(**draft, token_ids=ids, mean_entropy=0.0, temperature=1.0)
        reply = SimpleNamespace(text="123", trace=SimpleNamespace(events=(event,)))
        assert bool(case.fault(reply, tokenizer)) is is_fault
