import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from redraft.checkpoint.load import load_model
from redraft.checkpoint.save import save_model
from redraft.config import GenerationDefaults


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_small_model_is_one_file_without_an_index(checkpoint):
    assert files(checkpoint) == ["config.json", "generation_config.json", "model.safetensors"]


def test_no_shard_is_larger_than_asked_for(make_model, tmp_path):
    save_model(make_model(), tmp_path, max_shard_bytes=30_000)
    shards = list(tmp_path.glob("*.safetensors"))
    assert max(sum(t.nbytes for t in load_file(shard).values()) for shard in shards) <= 30_000
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert {name: load_file(tmp_path / file)[name].shape for name, file in index["weight_map"].items()}
    assert index["metadata"]["total_size"] == sum(t.nbytes for shard in shards for t in load_file(shard).values())


def test_the_stored_dtype_may_differ_from_the_models(make_model, tmp_path):
    save_model(make_model(), tmp_path, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"


def test_saving_again_leaves_no_file_of_the_last_time(make_model, tmp_path):
    save_model(make_model(), tmp_path, max_shard_bytes=20_000)
    save_model(make_model(), tmp_path)
    assert files(tmp_path) == ["config.json", "generation_config.json", "model.safetensors"]


def test_saving_leaves_the_callers_files(make_model, checkpoint):
    (checkpoint / "tokenizer.json").write_text("{}")
    save_model(make_model(), checkpoint)
    assert "tokenizer.json" in files(checkpoint)


def test_the_image_tower_of_a_source_is_kept(make_model, checkpoint, edit, tmp_path):
    edit(checkpoint / "config.json", image_token_id=7, vision_config={"model_type": "gemma4_vision", "hidden_size": 99})
    tensors = load_file(checkpoint / "model.safetensors")
    name = "model.encoder.vision_tower.patch_embedder.input_proj.weight"
    tensors[name] = torch.full_like(tensors[name], 3.0)
    save_file(tensors, checkpoint / "model.safetensors")
    saved = save_model(make_model(), tmp_path / "tuned", source=checkpoint)
    assert torch.equal(load_file(saved / "model.safetensors")[name], tensors[name])
    config = json.loads((saved / "config.json").read_text())
    assert (config["image_token_id"], config["vision_config"]["hidden_size"]) == (7, 99)


def test_transformers_loads_what_we_write_and_we_what_it_writes(make_model, tmp_path):
    transformers = pytest.importorskip("transformers")
    model = make_model(vocab_size=97)
    ours = save_model(
        model, tmp_path / "ours", generation=GenerationDefaults(max_tokens=24, entropy_bound=0.2, restart_after=9)
    )
    theirs, report = transformers.DiffusionGemmaForBlockDiffusion.from_pretrained(
        ours, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values())
    assert theirs.generation_config.max_new_tokens == 24
    assert theirs.generation_config.sampler_config.entropy_bound == 0.2

    theirs.save_pretrained(tmp_path / "theirs")
    back = load_model(tmp_path / "theirs")
    assert back.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(back.parameters(), model.parameters(), strict=True))

    prompt, canvas = torch.randint(97, (1, 21)), torch.randint(97, (1, 12))
    cache = transformers.DynamicCache(config=theirs.config.get_text_config(decoder=True))
    with torch.no_grad():
        theirs.eval().model.encoder(input_ids=prompt, past_key_values=cache)
        wanted = theirs(past_key_values=cache, decoder_input_ids=canvas).logits
    cache = model.new_cache()
    model.encode(prompt, cache, logits=False)
    torch.testing.assert_close(model.denoise(canvas, cache), wanted, rtol=1e-4, atol=1e-4)
    assert theirs.generate(prompt, max_denoising_steps=2).sequences.shape[1] >= 21
