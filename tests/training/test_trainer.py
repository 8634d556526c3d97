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
from redraft.errors import InvalidRequest, LoadError, ModelFailure
from redraft.training import checkpoints
from redraft.training import trainer as trainer_file
from redraft.training.checkpoints import load_average
from redraft.training.config import RunConfig
from redraft.training.data import Group
from redraft.training.metrics import Progress
from redraft.training.objective import Objective, training_loss
from redraft.training.optimizer import OptimizerConfig
from redraft.training.trainer import Trainer


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


@pytest.mark.parametrize(("muon", "accumulate"), [(False, 1), (True, 1), (True, 3)])
def test_an_interrupted_run_has_the_losses_and_weights_of_one_that_was_not(tmp_path, muon, accumulate):
    config = make_config(optimizer=OptimizerConfig(muon=muon, warmup=4), accumulate=accumulate)
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


def gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    taken = {name: p.grad.clone() for name, p in trainer.trainable.items()}
    trainer.model.zero_grad()
    return taken


def test_accumulated_batches_give_the_mean_of_their_gradients(tmp_path):
    trainer = Trainer(make_config(accumulate=2), tmp_path)
    for index in (4, 5):
        trainer._add_gradient(index)
    both = gradients(trainer)
    alone = []
    for index in (4, 5):
        trainer._add_gradient(index)
        alone.append(gradients(trainer))
    for name, gradient in both.items():
        assert torch.allclose(gradient, alone[0][name] + alone[1][name], atol=1e-7), name


def test_accumulation_counts_every_example(tmp_path):
    trainer = Trainer(make_config(accumulate=3), tmp_path)
    seen: list[Progress] = []
    trainer.run(until=2, report=seen.append)
    assert [progress.examples for progress in seen] == [12, 24]
    assert seen[0].tokens_per_second / seen[0].examples_per_second == pytest.approx(8)


def test_running_layers_again_instead_of_keeping_their_activations_changes_nothing(tmp_path):
    config = make_config(objective=Objective(autoregressive_on_canvas=True))
    Trainer(config, tmp_path / "kept").run(until=4)
    calls = []
    again = Trainer(replace(config, recompute=True), tmp_path / "again")
    again.model.layers[0].mlp.register_forward_hook(lambda *_: calls.append(1))
    again.run(until=4)
    assert losses(tmp_path / "again") == losses(tmp_path / "kept")
    assert len(calls) > 4 * 4, "encoded and denoised twice in every update, and predicted once in some"


def test_bfloat16_products_train_float32_weights(tmp_path):
    config = make_config(optimizer=OptimizerConfig(warmup=4, peak_lr=0.01))
    Trainer(config, tmp_path / "fp32").run(until=2)
    trainer = Trainer(replace(config, dtype="bfloat16"), tmp_path / "bf16")
    trainer.run(until=30)
    assert {p.dtype for p in trainer.trainable.values()} == {torch.float32}
    low, high = ([loss for _, loss in losses(tmp_path / name)] for name in ("bf16", "fp32"))
    assert low[:2] == pytest.approx(high, rel=0.01) and low[0] != high[0], "products were rounded"
    assert sum(low[-10:]) < 0.9 * sum(low[:10])


def test_canvases_grow_during_their_warm_up(tmp_path, monkeypatch):
    seen = []

    def watch(model, groups, *rest):
        seen.append({(group.prompt.shape[1] + group.canvas.shape[1], group.canvas.shape[1]) for group in groups})
        return training_loss(model, groups, *rest)

    monkeypatch.setattr(trainer_file, "training_loss", watch)
    Trainer(make_config(canvas_lengths=((0, 1), (8, 2), (10, 4))), tmp_path).run(until=12)
    assert {length for lengths in seen[:8] for _, length in lengths} == {1}
    assert len({total for lengths in seen[:8] for total, _ in lengths}) > 1, "different stretches are drawn"
    assert {length for lengths in seen[8:10] for _, length in lengths} == {2}
    assert seen[10:] == [{(8, 4)}, {(8, 4)}]


def test_the_run_ends_at_its_last_update(tmp_path):
    trainer = Trainer(make_config(updates=3, log_every=2), tmp_path)
    trainer.run()
    assert [update for update, _ in losses(tmp_path)] == [2, 3]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"accumulate": 0}, "accumulate=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"recompute": True, "compile": True}, "recompute"),
        ({"canvas_lengths": ((4, 8), (0, 4))}, "canvas_lengths"),
    ],
)
def test_a_config_that_cannot_run_is_refused_by_name(change, named):
    with pytest.raises(InvalidRequest, match=named):
        make_config(**change)


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
    trainer.run(seconds=0.0)  # not one update
    assert trainer.update == 0
    assert [path.name for path in tmp_path.glob("*.pt")] == ["checkpoint-00000000.pt"]


def test_only_the_last_two_checkpoints_are_kept(tmp_path):
    (tmp_path / "checkpoint-00000002.partial").write_bytes(b"left by a run that was killed while it wrote")
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


def test_a_gradient_that_is_not_a_number_ends_the_run_before_it_spoils_the_weights(tmp_path, monkeypatch):
    trainer = Trainer(make_config(checkpoint_seconds=0.0), tmp_path)
    trainer.run(until=2)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(ModelFailure, match=r"gradient norm=inf at update 2.*checkpoint-00000002\.pt"):
        trainer.run(until=4)
    assert all(torch.isfinite(p).all() for p in trainer.trainable.values())
    assert Trainer(make_config(), tmp_path).update == 2


def test_ids_outside_the_vocabulary_are_refused_with_the_batch(tmp_path):
    class Wrong(Countdown):
        def batch(self, index, size):
            (group,) = super().batch(index, size)
            return (replace(group, canvas=group.canvas + 20 * (index == 1)),)

    with pytest.raises(InvalidRequest, match=r"batch 1: a canvas has the token id \d\d: want 0 to 15"):
        Trainer(make_config(source=Wrong()), tmp_path).run(until=3)


def test_a_folder_of_another_model_is_refused(tmp_path):
    Trainer(make_config(), tmp_path).run(until=1)
    other = replace(make_config().model, hidden_size=24)
    with pytest.raises(LoadError, match="other parameters"):
        Trainer(make_config(model=other), tmp_path)


def test_a_folder_of_other_optimizers_is_refused(tmp_path):
    Trainer(make_config(), tmp_path).run(until=1)
    with pytest.raises(LoadError, match="other optimizers"):
        Trainer(make_config(optimizer=OptimizerConfig()), tmp_path)


def test_a_damaged_checkpoint_is_reported_with_the_one_before(tmp_path):
    Trainer(make_config(checkpoint_seconds=0.0), tmp_path).run(until=2)
    damaged = tmp_path / "checkpoint-00000002.pt"
    damaged.write_bytes(damaged.read_bytes()[:500])
    with pytest.raises(LoadError, match=r"checkpoint-00000002\.pt cannot be read.*remove it.*checkpoint-00000001\.pt"):
        Trainer(make_config(), tmp_path)
    damaged.unlink()
    assert Trainer(make_config(), tmp_path).update == 1


def test_metrics_of_a_run_that_left_no_checkpoint_are_forgotten(tmp_path):
    with pytest.raises(PowerCutError):
        Trainer(make_config(), tmp_path).run(report=cut_at(3))
    Trainer(make_config(), tmp_path).run(until=2)
    assert [update for update, _ in losses(tmp_path)] == [1, 2]


def test_a_disk_that_takes_no_more_ends_a_process_with_an_error_and_the_run_goes_on_later(tmp_path):
    """A limit on the size of files stands for a full disk: the system refuses to write, in the middle of a file."""
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_trainer import Trainer, make_config\n"
        "Trainer(make_config(), sys.argv[1]).run(until=2)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "Trainer(make_config(), sys.argv[1]).run(until=4)"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "LoadError: could not write" in done.stderr and "checkpoint-00000002.pt" in done.stderr
    assert [path.name for path in tmp_path.glob("checkpoint*")] == ["checkpoint-00000002.pt"]
    resumed = Trainer(make_config(), tmp_path)
    assert resumed.update == 2
    resumed.run(until=4)
    assert [update for update, _ in losses(tmp_path)] == [1, 2, 3, 4]


def test_a_full_disk_is_reported_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    trainer = Trainer(make_config(), tmp_path)
    trainer.run(until=2)

    def full(state, file):
        file.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(LoadError, match=r"the disk had .* MiB left.*No space left.*checkpoint-00000002\.pt"):
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
