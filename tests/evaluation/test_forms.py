import json
from itertools import islice
from pathlib import Path

import redraft
from redraft.constraints.spec import JSONSchema
from redraft.evaluation.forms import BUCKETS, FormsTask, denoising_cross_entropy, grade, schema_of
from redraft.text.tokenizer import Tokenizer
from redraft.training.mini_data import CANVAS_LENGTH
from redraft.training.notes import forms

WANTED = '{"name": "Ada", "count": 3}'


def test_fields_are_graded_one_by_one_and_exactly():
    assert grade(WANTED, WANTED) == ([True, True], True)
    assert grade(WANTED, '{"name": "Ada B", "count": 3}') == ([False, True], True)
    assert grade(WANTED, '{"count": "3"}') == ([False, False], True)


def test_a_reply_that_is_no_object_has_no_field_right():
    assert grade(WANTED, '["Ada", 3]') == ([False, False], False)
    assert grade(WANTED, '{"name": "Ada"') == ([False, False], False)


def test_every_answer_is_in_the_language_of_its_schema():
    for item in FormsTask().items(5, seed=0):
        assert JSONSchema(schema_of(item.answer)).matches(item.answer)


def test_items_hang_on_the_seed_and_come_by_bucket():
    items = FormsTask().items(3, seed=1)
    assert items == FormsTask().items(3, seed=1)
    assert items != FormsTask().items(3, seed=2)
    assert [item.bucket for item in items] == [bucket for bucket in BUCKETS for _ in range(3)]


def test_no_item_is_a_note_of_training():
    trained = {form.note.text for form in islice(forms(0), 2000)}
    assert not trained & {item.prompt.splitlines()[0] for item in FormsTask().items(50, seed=0)}


def test_answers_fit_one_canvas():
    tokenizer = Tokenizer.from_directory(Path(redraft.__file__).parent / "models" / "redraft-mini")
    for item in FormsTask().items(30, seed=0):
        assert len(tokenizer.encode_plain(item.answer)) < CANVAS_LENGTH
        assert json.loads(item.answer)


def test_denoising_cross_entropy_is_reported_by_noise_level(make_model):
    import torch

    from redraft.training.data import Group

    class Source:
        def batch(self, index, size):
            ids = torch.arange(size * 12).view(size, 12) % 61
            return (Group(ids[:, :5], ids),)

    figures = denoising_cross_entropy(make_model(), Source(), (0.1, 0.9), 4)
    assert list(figures) == ["0.1", "0.9"]
    assert all(value > 0 for value in figures.values())
