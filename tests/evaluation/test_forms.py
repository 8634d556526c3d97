import json
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import redraft
from redraft.config import SamplingParams
from redraft.constraints.spec import JSONSchema
from redraft.evaluation.forms import BUCKETS, FormsTask, grade, schema_of
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


def test_a_reply_is_graded_in_whole_too():
    item = FormsTask().items(1, seed=0)[0]
    usage = SimpleNamespace(denoising_steps=6, canvases=2)
    right = FormsTask().grade(item, SimpleNamespace(text=item.answer, usage=usage))
    assert right == {
        "fields_right": [True] * len(json.loads(item.answer)),
        "objects_right": True,
        "parses": True,
        "steps_per_canvas": 3,
    }
    assert not FormsTask().grade(item, SimpleNamespace(text="{}", usage=usage))["objects_right"]


def test_a_constrained_setting_asks_under_the_schema_of_each_answer():
    item, asked = FormsTask().items(1, seed=0)[0], []
    engine = SimpleNamespace(generate=lambda prompt, params: asked.append((prompt, params)))
    setting = FormsTask().settings(SamplingParams(max_tokens=60))["constrained"]
    setting.ask(engine, item, setting.params)
    prompt, params = asked[0]
    assert prompt == item.prompt and params.max_tokens == 60
    assert params.constraint == JSONSchema(schema_of(item.answer))
