"""Holes in Python: how they are cut, asked for and graded."""

import json
from types import SimpleNamespace

import pytest

import redraft
from redraft.config import SamplingParams
from redraft.errors import InvalidRequest
from redraft.evaluation.infill import Hole, InfillTask, before_only, kind_of, parses, program, until_rest

CODE = "def area(width, height):\n    total = width * height\n    return total\n\n\nprint(area(2, 3))\n"


def hole(before, answer, after, **more):
    return Hole(prompt=before, answer=answer, after=after, bucket="b", **more)


@pytest.fixture
def corpus(tmp_path):
    for split in ("heldout_files", "heldout_packages"):
        rows = [{"package": "p", "path": "a.py", "text": text} for text in ("", CODE, CODE.replace("area", "size"))]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_as_many_holes_are_cut_for_each_kind_and_split(corpus):
    holes = InfillTask(corpus).items(2, seed=0)
    buckets = [f"{kind}, {split}" for kind in ("line", "expression", "span") for split in ("new file", "new package")]
    assert [item.bucket for item in holes] == [bucket for bucket in buckets for _ in range(2)]
    assert InfillTask(corpus).items(2, seed=0) == holes != InfillTask(corpus).items(2, seed=1)


def test_a_hole_and_its_sides_are_a_stretch_of_a_file_that_parses(corpus):
    for item in InfillTask(corpus).items(3, seed=0):
        document = program(item, item.answer)
        assert document in CODE or document in CODE.replace("area", "size")
        assert parses(document) and item.answer.strip() and "\n" not in item.answer


@pytest.mark.parametrize(
    ("text", "kind"),
    [("    total = width * height", "line"), ("width * height", "expression"), ("height", "span"), ("width *", "span")],
)
def test_a_hole_is_named_for_what_it_leaves_out(text, kind):
    begin = CODE.index(text.strip())
    assert kind_of(CODE, begin, begin + len(text.strip())) == kind


@pytest.mark.parametrize("text", ["", "x = = 1\n"])
def test_a_split_without_holes_is_refused(tmp_path, text):
    for split in ("heldout_files", "heldout_packages"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"text": text}) + "\n")
    with pytest.raises(InvalidRequest, match="heldout_files gives 0 of kind line"):
        InfillTask(tmp_path).items(1, seed=0)


def test_a_continuation_ends_where_the_rest_of_the_line_begins():
    assert until_rest("b, c)\nmore", hole("f(a, ", "b", ", c)\n")) == "b"
    assert until_rest("b) + 1", hole("f(a, ", "b", ", c)\n")) == "b) + 1"


def test_a_continuation_in_a_hole_up_to_the_line_break_ends_there():
    assert until_rest("1\ny = 2\n", hole("x = ", "1", "\ny = 2\n")) == "1"


def test_a_continuation_over_lines_ends_where_the_next_line_begins():
    item = hole("x = ", "[\n    1]", "\n\ny = 2\nz = 3\n", is_one_line=False)
    assert until_rest("[\n    1]\n\ny = 2\nz = 4", item) == "[\n    1]"
    assert until_rest("[\n    1]\n", item) == "[\n    1]\n"


def test_nothing_after_the_hole_cuts_nothing():
    assert until_rest("1 + 2", hole("x = ", "1", "")) == "1 + 2"


@pytest.mark.parametrize(
    ("text", "is_python"), [("x = 1\n", True), ("x = = 1\n", False), ("'\\d'", True), ("\0", False)]
)
def test_a_program_parses_or_does_not(text, is_python):
    assert parses(text) is is_python


@pytest.mark.parametrize(
    ("text", "exact", "is_python"), [("1 + 2", True, True), ("3", False, True), ("1 +", False, False)]
)
def test_grades_are_the_exact_text_and_the_whole_program(corpus, text, exact, is_python):
    usage = SimpleNamespace(denoising_steps=4, canvases=1)
    grades = InfillTask(corpus).grade(hole("x = (", "1 + 2", ")\n"), SimpleNamespace(text=text, usage=usage))
    assert grades == {"exact": exact, "parses": is_python, "empty_parses": True, "steps_per_canvas": 4}


@pytest.mark.parametrize("decoding", ["diffusion", "autoregressive"])
def test_with_the_text_before_alone_the_broken_token_is_healed_and_no_part_of_the_answer(decoding, monkeypatch):
    item, replies = hole("import os\n\nprint(os.get", "cwd()", ")\n"), []
    with redraft.load("redraft-mini") as engine:
        generate = engine.generate
        monkeypatch.setattr(engine, "generate", lambda *asked: replies.append(generate(*asked)) or replies[-1])
        answer = before_only(engine, item, SamplingParams(seed=1, decoding=decoding)).text
        *before, last = engine.tokenizer.encode_prompt(item.prompt)
        healed = engine.tokenizer.decode([last])
    assert replies[0].usage.prompt_tokens == len(before)
    assert replies[0].text.startswith(healed) and item.prompt.endswith(healed)
    assert answer == until_rest(replies[0].text.removeprefix(healed), item)


def test_both_sides_and_the_answer_are_the_canvas_of_training(corpus):
    item = hole("x = ", "1 + 2", "\ny = 3\n")
    with redraft.load("redraft-mini") as engine:
        prompt, canvas = InfillTask(corpus).clean(engine, item)
        text = engine.tokenizer.decode([*prompt, *canvas])
        assert len(canvas) == engine.model.canvas_length
    assert program(item, item.answer) in text
