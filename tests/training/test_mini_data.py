import json
import random
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import redraft
from redraft.constraints.infill import lay_out
from redraft.errors import InvalidRequest
from redraft.text.chat import ChatTemplate
from redraft.text.tokenizer import Tokenizer
from redraft.training import mini_data
from redraft.training.mini_data import MiniSource, cut, form_example, infill_examples, prepare, to_arrays
from redraft.training.notes import forms

MODEL = Path(redraft.__file__).parent / "models" / "redraft-mini"
CODE = "import os\n\n\ndef area(width, height):\n    total = width * height\n    return total\n\n\nprint(area(2, 3))\n"


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_directory(MODEL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    corpus = tmp_path_factory.mktemp("corpus")
    (corpus / "train.jsonl").write_text(json.dumps({"text": CODE}) + "\n")
    (corpus / "manifest.json").write_text(json.dumps({"splits": {}}))
    out = tmp_path_factory.mktemp("data")
    prepare(out, corpus, MODEL, num_forms=1024, num_texts=12)
    return out


def test_a_plain_form_ends_in_the_end_token_and_a_chat_in_the_turn_end(tokenizer):
    form = next(forms(0))
    plain = form_example(form, "form", tokenizer)
    assert plain.prompt == tokenizer.encode_prompt(form.prompt("form"))
    assert tokenizer.decode(plain.reply) == form.text
    assert plain.reply[-1] == mini_data.EOS
    chat = form_example(form, "form", tokenizer, ChatTemplate.from_directory(MODEL, tokenizer))
    assert chat.reply == [*plain.reply[:-1], mini_data.TURN_END]


def test_a_hole_lies_within_one_line():
    rng = random.Random(0)
    for _ in range(200):
        begin, end = cut(CODE, rng)
        assert "\n" not in CODE[begin:end]


def test_an_infill_example_is_the_served_layout_and_spells_the_document(tokenizer):
    for example in islice(infill_examples(0, tokenizer, [CODE]), 20):
        assert example.prompt[0] == mini_data.BOS
        before = example.prompt[1:]
        if before[:1] == [tokenizer.suffix_marker_id]:
            continue
        document = tokenizer.decode(before) + tokenizer.decode(example.reply)
        assert document in CODE
        layout = lay_out(tokenizer.decode(before), "", tokenizer, mini_data.CANVAS_LENGTH)
        assert len(layout.prompt_ids) <= len(before)


def test_short_prompts_are_padded_before_bos(tokenizer):
    arrays = to_arrays(infill_examples(0, tokenizer, [CODE]), 8, mini_data.CANVAS_LENGTH)
    for prompt in arrays["prompts"]:
        kept = prompt[prompt != mini_data.PAD]
        assert kept[0] == mini_data.BOS
        np.testing.assert_array_equal(prompt[-len(kept) :], kept)


def test_preparing_twice_gives_equal_hashes(folder, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "train.jsonl").write_text(json.dumps({"text": CODE}) + "\n")
    (corpus / "manifest.json").write_text(json.dumps({"splits": {}}))
    again = prepare(tmp_path / "data", corpus, MODEL, num_forms=1024, num_texts=12)
    assert again == json.loads((folder / "manifest.json").read_text())


def test_a_batch_depends_on_its_index_alone_and_trims_padding(folder):
    source = MiniSource.from_folder(folder, {"forms": 30, "long_forms": 2})
    late = source.batch(5, 32)
    source.batch(0, 32)
    for group, same in zip(late, source.batch(5, 32), strict=True):
        assert group.prompt.equal(same.prompt) and group.canvas.equal(same.canvas)
    assert (late[0].prompt != mini_data.PAD).all(1).any()
    assert late[0].canvas.shape[1] <= mini_data.SHORT_CANVAS
    assert late[1].canvas.shape[1] == mini_data.CANVAS_LENGTH


def test_a_chunk_holds_every_example_once(folder):
    source = MiniSource.from_folder(folder, {"forms": 32})
    seen = [tuple(row[row != 0].tolist()) for i in range(mini_data.CHUNK) for row in source.batch(i, 32)[0].prompt]
    with np.load(folder / "forms.npz") as arrays:
        wanted = [tuple(int(i) for i in row[row != 0]) for row in arrays["prompts"][: 32 * mini_data.CHUNK]]
    assert sorted(seen) == sorted(wanted)


def test_a_mix_that_is_no_whole_batch_is_refused(folder):
    with pytest.raises(InvalidRequest, match=r"mix=.*32"):
        MiniSource.from_folder(folder, {"forms": 31})


def test_a_batch_that_would_lose_a_part_of_the_mix_is_refused(folder):
    source = MiniSource.from_folder(folder, {"forms": 31, "long_forms": 1})
    with pytest.raises(InvalidRequest, match=r"batch_size=16 with mix=.*whole shares"):
        source.batch(0, 16)
