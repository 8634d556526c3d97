"""Fine-tuning from a file to a checkpoint: what is trained, what is written, that it goes on where it stopped."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch

import redraft
from redraft.checkpoint.load import load_model
from redraft.checkpoint.save import save_model
from redraft.config import GenerationDefaults
from redraft.errors import LoadError
from redraft.training.checkpoints import load_average
from redraft.training.lora import LoraConfig
from redraft.training.recipes import finetune
from redraft.training.run import export, save_adapter, start

MINI = Path(str(files("redraft"))) / "models" / "redraft-mini"
LORA = LoraConfig(rank=2)


@pytest.fixture(scope="module")
def base(make_model, tmp_path_factory):
    """A tiny model with redraft-mini's tokenizer and template."""
    path = tmp_path_factory.mktemp("base")
    model = make_model(vocab_size=4096, hidden_size=16, eos_token_ids=(1,), canvas_length=8)
    save_model(model, path, generation=GenerationDefaults(max_tokens=8, eos_token_ids=(1, 6)))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (path / name).write_text((MINI / name).read_text())
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    lines = [{"prompt": f"say {i}", "completion": f"{i} " * (1 + i % 9)} for i in range(10)]
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    path = tmp_path_factory.mktemp("data") / "data.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"messages": chat}]))
    return path


def config_of(base, data, lora, **changes):
    options = {"epochs": 2.0, "batch_size": 4, "peak_lr": 0.01, "log_every": 1, **changes}
    return finetune(data, model=str(base), lora=lora, **options)


def test_the_run_is_as_long_as_its_passes_over_the_data(base, data):
    assert config_of(base, data, None).last_update == 6  # 2 passes over 11 lines in batches of 4
    assert config_of(base, data, None, accumulate=2).last_update == 3


@pytest.mark.parametrize("lora", [None, LORA])
def test_an_interrupted_run_goes_on_exactly(base, data, tmp_path, lora):
    config = config_of(base, data, lora, accumulate=2, recompute=True)
    start(tmp_path / "whole", config).run()
    start(tmp_path / "cut", config).run(until=1)
    resumed = start(tmp_path / "cut", config)
    assert resumed.update == 1
    resumed.run()
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "cut")]
    whole, cut = ([(json.loads(line)["update"], json.loads(line)["denoise"]) for line in part] for part in lines)
    assert whole == cut and len(whole) == 3
    averages = [load_average(tmp_path / name) for name in ("whole", "cut")]
    assert all(torch.equal(tensor, averages[1][name]) for name, tensor in averages[0].items())


def test_a_full_run_trains_everything_but_the_routers(base, data, tmp_path):
    trainer = start(tmp_path, config_of(base, data, None))
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.run()
    changed = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if "router" not in name}
    path = export(trainer.config, tmp_path, tmp_path / "model")
    model = load_model(path)
    average = load_average(tmp_path)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, average.get(name, before[name]).bfloat16().float()), name


def test_an_adapter_is_small_on_disk_and_applied_by_load_as_by_the_exported_model(base, data, tmp_path):
    trainer = start(tmp_path, config_of(base, data, LORA, peak_lr=0.1))
    trainer.run()
    assert all(".parametrizations." in name for name in load_average(tmp_path))
    adapter = save_adapter(trainer.config, tmp_path, tmp_path / "adapter")
    model = export(trainer.config, tmp_path, tmp_path / "model")
    names = {file.name for file in base.iterdir()}
    assert {file.name for file in model.iterdir()} == names
    assert json.loads((model / "generation_config.json").read_text())["eos_token_id"] == [1, 6]

    with redraft.load(str(base), adapter=str(adapter), dtype="bfloat16") as adapted, redraft.load(str(model)) as merged:
        pairs = zip(adapted.model.parameters(), merged.model.parameters(), strict=True)
        assert all(torch.equal(ours.float(), theirs) for ours, theirs in pairs)
    with redraft.load(str(base)) as plain:
        assert any(
            not torch.equal(a, b) for a, b in zip(plain.model.parameters(), load_model(model).parameters(), strict=True)
        )


@pytest.mark.filterwarnings("ignore")
def test_transformers_loads_the_exported_model_with_equal_logits(base, data, tmp_path):
    transformers = pytest.importorskip("transformers")
    trainer = start(tmp_path, config_of(base, data, LORA, peak_lr=0.1))
    trainer.run()
    path = export(trainer.config, tmp_path, tmp_path / "model")
    theirs, report = transformers.DiffusionGemmaForBlockDiffusion.from_pretrained(
        path, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values())
    prompt, canvas = torch.arange(20, 41)[None], torch.arange(50, 58)[None]
    cache = transformers.DynamicCache(config=theirs.config.get_text_config(decoder=True))
    ours = load_model(path)
    own = ours.new_cache()
    with torch.no_grad():
        theirs.eval().model.encoder(input_ids=prompt, past_key_values=cache)
        wanted = theirs(past_key_values=cache, decoder_input_ids=canvas).logits
        ours.encode(prompt, own, logits=False)
        assert (ours.denoise(canvas, own) - wanted).abs().max() < 1e-4


def test_training_on_a_few_lines_learns_them(base, data, tmp_path):
    for lora in (None, LoraConfig(rank=8)):
        folder = tmp_path / ("full" if lora is None else "lora")
        start(folder, config_of(base, data, lora, epochs=12.0, peak_lr=0.02)).run()
        losses = [json.loads(line)["denoise"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert sum(losses[-6:]) < 0.9 * sum(losses[:6]), folder.name


def test_an_adapter_in_bfloat16_keeps_its_factors_in_float32(base, data, tmp_path):
    trainer = start(tmp_path, replace(config_of(base, data, LORA), dtype="bfloat16"))
    trainer.run(until=2)
    kinds = {(p.requires_grad, p.dtype) for p in trainer.model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}


def test_a_directory_that_is_no_adapter_is_refused_by_name(base, tmp_path):
    for wrong in (str(tmp_path), str(tmp_path / "nowhere")):
        with pytest.raises(LoadError, match="adapter"):
            redraft.load(str(base), adapter=wrong)
