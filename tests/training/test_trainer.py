"""The loop: goes on exactly where it was cut off, keeps good checkpoints, says what went wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from redraft.config import LayerConfig, ModelConfig
from redraft.errors import LoadError, ModelFailure
from redraft.training import trainer as trainer_file
from redraft.training.data import Group
from redraft.training.optimizer import OptimizerConfig
from redraft.training.trainer import Progress, RunConfig, Trainer, load_average


@dataclass(frozen=True)
class Countdown:
    """Canvases that continue their prompt downwards."""

    def batch(self, index: int, size: int) -> tuple[Group, ...]:
        start = torch.randint(8, 16, (size, 1), generator=torch.Generator().manual_seed(index))
        ids = start - torch.arange(8)
        return (Group(ids[:, :4], ids[:, 4:]),)

    def describe(self) -> dict:
        return {"kind": "countdown"}


def make_config(**changes) -> RunConfig:
    layer = LayerConfig(
        is_sliding=False, num_kv_heads=1, head_dim=8, shares_kv=True, rope_theta=100.0, rope_fraction=1.0
    )
    model = ModelConfig(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=16,
        moe_intermediate_size=8,
        num_experts=2,
        num_experts_per_token=1,
        num_heads=2,
        layers=(layer,),
        sliding_window=64,
        rms_norm_eps=1e-6,
        logit_softcap=30.0,
        canvas_length=4,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_ids=(1,),
    )
    config = RunConfig(
        name="countdown",
        model=model,
        source=Countdown(),
        optimizer=OptimizerConfig(muon=True, warmup=4),
        batch_size=4,
        log_every=1,
    )
    return replace(config, **changes)


def losses(folder: Path) -> list[tuple[int, float]]:
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [(row["update"], row["denoise"]) for row in rows]


class PowerCutError(Exception):
    """Stands for a power cut: nothing after it runs."""


def cut_at(update: int):
    def report(progress: Progress) -> None:
        if progress.update == update:
            raise PowerCutError

    return report


@pytest.mark.parametrize("muon", [False, True])
def test_an_interrupted_run_has_the_losses_and_weights_of_one_that_was_not(tmp_path, muon):
    config = make_config(optimizer=OptimizerConfig(muon=muon, warmup=4))
    whole = Trainer(config, tmp_path / "whole")
    whole.run(until=8)
    Trainer(config, tmp_path / "cut").run(until=3)
    with pytest.raises(PowerCutError):
        Trainer(config, tmp_path / "cut").run(report=cut_at(6))
    resumed = Trainer(config, tmp_path / "cut")
    assert resumed.update == 3
    resumed.run(until=8)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, resumed.model.get_parameter(name))
        assert torch.equal(whole.average[name], resumed.average[name])


def test_training_lowers_the_loss(tmp_path):
    Trainer(make_config(optimizer=OptimizerConfig(muon=True, warmup=4, peak_lr=0.02)), tmp_path).run(until=40)
    curve = [loss for _, loss in losses(tmp_path)]
    assert sum(curve[-10:]) < 0.9 * sum(curve[:10])


def test_the_decay_ends_the_run(tmp_path):
    trainer = Trainer(make_config(optimizer=OptimizerConfig(decay_from=3, decay=4, warmup=1)), tmp_path)
    trainer.run()
    assert trainer.update == 7


def test_a_time_limit_ends_the_run_with_a_checkpoint(tmp_path):
    trainer = Trainer(make_config(), tmp_path)
    trainer.run(seconds=0.0)
    assert trainer.update == 1
    assert [path.name for path in tmp_path.glob("*.pt")] == ["checkpoint-00000001.pt"]


def test_only_the_last_two_checkpoints_are_kept(tmp_path):
    Trainer(make_config(checkpoint_seconds=0.0), tmp_path).run(until=5)
    assert sorted(path.name for path in tmp_path.glob("*")) == [
        "checkpoint-00000004.pt",
        "checkpoint-00000005.pt",
        "metrics.jsonl",
        "run.json",
    ]


def test_progress_counts_examples_and_estimates_what_is_left(tmp_path):
    seen: list[Progress] = []
    Trainer(make_config(), tmp_path).run(until=4, report=seen.append)
    assert [progress.examples for progress in seen] == [4, 8, 12, 16]
    assert seen[0].seconds_left > 0 and seen[-1].seconds_left == 0
    assert all(progress.examples_per_second > 0 for progress in seen)


def test_weights_alone_can_start_a_run(tmp_path):
    Trainer(make_config(), tmp_path / "first").run(until=2)
    weights = load_average(tmp_path / "first")
    second = Trainer(make_config(seed=9), tmp_path / "second", weights=weights)
    assert second.update == 0
    assert all(torch.equal(parameter, weights[name]) for name, parameter in second.model.named_parameters())


def test_a_loss_that_is_not_a_number_ends_the_run_and_keeps_the_last_checkpoint(tmp_path):
    trainer = Trainer(make_config(), tmp_path)
    trainer.run(until=2)
    with torch.no_grad():
        trainer.model.embedding.weight.fill_(float("nan"))
    with pytest.raises(ModelFailure, match=r"at update 2: want a number.*checkpoint-00000002\.pt"):
        trainer.run(until=4)
    assert Trainer(make_config(), tmp_path).update == 2


def test_a_full_disk_is_reported_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    trainer = Trainer(make_config(), tmp_path)
    trainer.run(until=2)

    def full(state, file):
        file.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainer_file.torch, "save", full)
    with pytest.raises(LoadError, match=r"No space left.*checkpoint-00000002\.pt"):
        trainer.run(until=4)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.glob("checkpoint*")] == ["checkpoint-00000002.pt"]
    assert Trainer(make_config(), tmp_path).update == 2


def test_a_folder_without_checkpoints_has_no_average(tmp_path):
    with pytest.raises(LoadError, match="holds no checkpoint"):
        load_average(tmp_path)


def test_a_killed_process_goes_on_from_its_last_checkpoint(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_trainer import Trainer, make_config\n"
        "Trainer(make_config(checkpoint_seconds=0.0), sys.argv[1]).run()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "killed"), str(Path(__file__).parent)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("killed/checkpoint-0000000[3-9].pt")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = Trainer(make_config(), tmp_path / "killed")
    until = resumed.update + 3
    resumed.run(until=until)
    Trainer(make_config(), tmp_path / "whole").run(until=until)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
