"""Runs by name: data made once, a decay that survives interruptions, an export that loads again."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch

from redraft.checkpoint.load import load_model
from redraft.training import catalog
from redraft.training.catalog import RECIPES
from redraft.training.checkpoints import load_average
from redraft.training.config import RunConfig
from redraft.training.metrics import Progress, progress_line
from redraft.training.run import export, run, start


@pytest.fixture
def config(tmp_path, monkeypatch) -> RunConfig:
    monkeypatch.setattr(catalog, "SUDOKU_PATHS", 8)
    return replace(RECIPES["sudoku"].config(tmp_path), batch_size=2, compile=False, log_every=1)


def test_a_decay_starts_where_the_run_stands_and_goes_on_after_an_interruption(tmp_path, config):
    folder = tmp_path / "run"
    trainer = start(folder, config)
    trainer.run(until=1)
    start(folder, config, decay=3).run(until=2)
    again = start(folder, config)  # nobody says decay any more
    assert (again.config.optimizer.decay_from, again.config.optimizer.decay) == (1, 3)
    again.run()
    assert again.update == 4
    rates = [json.loads(line)["lr"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    peak = config.optimizer
    wanted = [peak.lr(0), peak.lr(1), peak.lr(2) * 2 / 3, peak.lr(3) / 3]
    assert rates == pytest.approx(wanted)


def test_an_export_loads_with_the_averaged_weights_in_bf16(tmp_path, config):
    start(tmp_path / "run", config).run(until=1)
    path = export(config, tmp_path / "run", tmp_path / "model")
    names = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    names |= {"redraft_config.json"}
    assert {file.name for file in path.iterdir()} == names
    model = load_model(path, dtype="float32")
    average = load_average(tmp_path / "run")
    assert model.config == config.model
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, average[name].bfloat16().float()), name


def test_a_signal_ends_the_run_with_a_checkpoint(tmp_path, config):
    trainer = start(tmp_path / "run", config)
    before = signal.getsignal(signal.SIGTERM)
    run(trainer, report=lambda progress: os.kill(os.getpid(), signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) is before
    assert trainer.update == 1
    assert (tmp_path / "run" / "checkpoint-00000001.pt").exists()


def test_a_run_leaves_the_smallest_numbers_to_those_who_come_after_it(tmp_path, config):
    run(start(tmp_path, config), seconds=0.0)
    assert torch.full((8,), 1e-40).mul(1.0).min() > 0


def test_a_progress_line_says_speed_loss_and_time_left():
    progress = Progress(
        update=10,
        examples=320,
        denoise=0.51234,
        autoregressive=1.4,
        balance=1.0,
        grad_norm=0.2,
        lr=0.004,
        examples_per_second=31.96,
        tokens_per_second=5273.4,
        seconds=130.0,
        seconds_left=7300.0,
    )
    line = progress_line(progress, unit="boards")
    assert line == (
        "update 10, 320 boards: loss 0.5123, autoregressive 1.400, 32.0 boards/s, 5,273 tokens/s, "
        "2 min so far, 2 h 2 min left"
    )
    assert "left" not in progress_line(replace(progress, seconds_left=None))
