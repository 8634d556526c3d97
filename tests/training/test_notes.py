import json
from itertools import islice

from redraft.training.notes import (
    HELD_OUT_TEMPLATES,
    HELD_OUT_WORDS,
    UNSEEN_SENTENCES,
    forms,
    is_held_out,
    notes,
)


def test_notes_are_a_function_of_the_seed():
    def first(seed):
        return [note.text for note in islice(notes(seed), 50)]

    assert first(3) == first(3)
    assert first(3) != first(4)


def test_every_fact_stands_in_its_note():
    for note in islice(notes(0), 500):
        for value in note.facts.values():
            assert str(value) in note.text


def test_training_and_evaluation_share_no_template():
    trained = {note.template for note in islice(notes(0), 3000)}
    held_out = {note.template for note in islice(notes(1, "held_out"), 500)}
    assert not trained & held_out
    assert not trained & set(UNSEEN_SENTENCES)
    assert len(trained) > 2000
    assert all(is_held_out(HELD_OUT_TEMPLATES, template) for template in held_out)


def test_a_loose_note_keeps_its_facts_and_loses_words():
    trained = {note.template for note in islice(notes(0), 3000)}
    loose = list(islice(notes(0, "loose"), 500))
    assert all(str(value) in note.text for note in loose for value in note.facts.values())
    assert sum(note.template in trained for note in loose) < 250
    assert not any(is_held_out(HELD_OUT_TEMPLATES, note.template) for note in loose)


def test_no_note_tells_a_fact_twice():
    for note in islice(notes(2), 2000):
        slots = [piece.split("}")[0] for piece in note.template.split("{")[1:]]
        assert len(set(slots)) == len(slots), note.template


def test_training_and_evaluation_share_no_names():
    def people(words):
        found = islice(forms(0, words=words), 2000)
        return {name for form in found for name in str(form.note.facts.get("person", "")).split()}

    assert not people("train") & people("held_out")
    assert not any(is_held_out(HELD_OUT_WORDS, name) for name in people("train"))


def test_an_answer_has_the_keys_of_its_form_and_fits_its_schema_types():
    for form in islice(forms(5), 300):
        answer = json.loads(form.text)
        assert list(json.loads(form.empty())) == list(answer)
        types = {key: part["type"] for key, part in form.schema()["properties"].items()}
        assert types == {key: "integer" if isinstance(value, int) else "string" for key, value in answer.items()}


def test_a_prompt_is_the_note_then_what_is_asked_for():
    form = next(forms(1))
    assert form.prompt("form") == f"{form.note.text}\n{form.empty()}\n"
    assert json.loads(form.prompt("schema").splitlines()[1]) == {"properties": form.schema()["properties"]}
