import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file

from redraft.checkpoint.load import load_model, weight_files
from redraft.checkpoint.save import save_model
from redraft.errors import InvalidRequest, LoadError

WEIGHTS = "model.safetensors"
NORM = "model.decoder.norm.weight"


def change(directory, function):
    tensors = load_file(directory / WEIGHTS)
    function(tensors)
    save_file(tensors, directory / WEIGHTS)


def same(a, b):
    pairs = zip(a.named_parameters(), b.named_parameters(), strict=True)
    return all(x == y and torch.equal(p, q) for (x, p), (y, q) in pairs)


def test_a_loaded_model_is_for_inference(checkpoint):
    model = load_model(checkpoint)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.encode(torch.tensor([[1, 2, 3]]), model.new_cache()).isfinite().all()


def test_weights_come_back_as_saved(make_model, checkpoint):
    assert same(load_model(checkpoint), make_model())


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_weights_are_cast_as_they_are_read(make_model, checkpoint, dtype):
    assert same(load_model(checkpoint, dtype=dtype), make_model().bfloat16())


def test_shards_load_like_a_single_file(make_model, tmp_path):
    save_model(make_model(), tmp_path, max_shard_bytes=20_000)
    assert len(weight_files(tmp_path)) > 3
    assert same(load_model(tmp_path), make_model())


def test_the_image_tower_is_skipped_with_one_logged_line(checkpoint, caplog):
    with caplog.at_level(logging.INFO, "redraft.checkpoint.load"):
        load_model(checkpoint)
    assert [record.message.split(": ")[1] for record in caplog.records] == [
        "skipped 16 tensors of the image tower (text only)"
    ]


def test_a_missing_tensor_is_refused_by_name(checkpoint):
    change(checkpoint, lambda tensors: tensors.pop(NORM))
    with pytest.raises(LoadError, match=rf"missing.*{NORM}"):
        load_model(checkpoint)


def test_an_extra_tensor_is_refused_by_name(checkpoint):
    change(checkpoint, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(2)}))
    with pytest.raises(LoadError, match=r"lm_head\.weight"):
        load_model(checkpoint)


def test_a_misshaped_tensor_is_refused_with_both_shapes(checkpoint):
    change(checkpoint, lambda tensors: tensors.update({NORM: torch.zeros(31)}))
    with pytest.raises(LoadError, match=rf"{NORM}.*\[31\]: want \[32\]"):
        load_model(checkpoint)


def test_a_tensor_stored_in_another_kind_of_number_is_refused(checkpoint):
    change(checkpoint, lambda tensors: tensors.update({NORM: torch.zeros(32, dtype=torch.int32)}))
    with pytest.raises(LoadError, match=f"{NORM}.*stored as I32"):
        load_model(checkpoint)


@pytest.mark.parametrize("cut", [-100, 4, 0])
def test_a_truncated_file_is_refused_with_its_path(checkpoint, cut):
    file = checkpoint / WEIGHTS
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(LoadError, match=WEIGHTS):
        load_model(checkpoint)


def test_a_corrupt_header_is_refused_with_its_path(checkpoint):
    file = checkpoint / WEIGHTS
    file.write_bytes(file.read_bytes()[:8] + b"x" * 100 + file.read_bytes()[108:])
    with pytest.raises(LoadError, match=WEIGHTS):
        load_model(checkpoint)


def test_a_directory_without_weights_is_refused(checkpoint):
    (checkpoint / WEIGHTS).unlink()
    with pytest.raises(LoadError, match="has neither"):
        load_model(checkpoint)


def test_a_shard_the_index_names_must_be_there(make_model, tmp_path):
    save_model(make_model(), tmp_path, max_shard_bytes=20_000)
    weight_files(tmp_path)[1].unlink()
    with pytest.raises(LoadError, match=r"model-00002-of-\d+\.safetensors is missing"):
        load_model(tmp_path)


def test_a_tensor_in_two_shards_is_refused(make_model, tmp_path):
    save_model(make_model(), tmp_path, max_shard_bytes=20_000)
    save_file(load_file(weight_files(tmp_path)[1]), tmp_path / "copy.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    values = json.loads(index.read_text())
    values["weight_map"]["other"] = "copy.safetensors"
    index.write_text(json.dumps(values))
    with pytest.raises(LoadError, match="another file"):
        load_model(tmp_path)


@pytest.mark.parametrize("file", ["../elsewhere.safetensors", "/elsewhere.safetensors", 3])
def test_an_index_may_only_name_files_beside_it(checkpoint, file):
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {NORM: file}}))
    with pytest.raises(LoadError, match="weight_map is"):
        load_model(checkpoint)


def test_an_index_without_a_map_is_refused(checkpoint):
    (checkpoint / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(LoadError, match="weight_map is None"):
        load_model(checkpoint)


def test_weights_that_belong_to_another_config_are_refused(checkpoint, edit):
    edit(checkpoint / "config.json", text_config__moe_intermediate_size=25)
    with pytest.raises(LoadError, match="experts"):
        load_model(checkpoint)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"dtype": "int8"}, "dtype='int8'"),
        ({"device": "mps"}, "device='mps'"),
        ({"device": "abacus"}, "device='abacus'"),
    ],
)
def test_devices_and_dtypes_we_do_not_run_are_refused_by_name(checkpoint, arguments, message):
    with pytest.raises(InvalidRequest, match=message):
        load_model(checkpoint, **arguments)


def test_the_weights_are_never_held_twice(checkpoint, monkeypatch):
    """Everything is allocated once, before the first tensor is read."""
    allocated = []
    empty_like = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda t, **kw: allocated.append(t.numel()) or empty_like(t, **kw))
    model = load_model(checkpoint)
    assert sum(allocated) == sum(parameter.numel() for parameter in model.parameters())
