"""The training loop: updates, checkpoints that a killed run goes on from exactly, metrics.

Nothing random outlives an update: batch and noise are functions of the update's number, so weights, their average, the
optimisers' state and that number are the whole state of a run.
"""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch._dynamo

from redraft.config import ModelConfig
from redraft.errors import LoadError, ModelFailure
from redraft.model.transformer import DiffusionTransformer, random_model
from redraft.training.copying import copying_start
from redraft.training.data import BatchSource
from redraft.training.objective import Losses, Objective, training_loss
from redraft.training.optimizer import OptimizerConfig, make_optimizers

log = logging.getLogger(__name__)
NUM_KEPT = 2  # checkpoints on disk: the newest and the one before


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole run. Two runs with equal configs on one machine give equal losses, interrupted or not."""

    name: str
    model: ModelConfig
    source: BatchSource
    objective: Objective = field(default_factory=Objective)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 64
    ema_decay: float = 0.999  # of the average of the weights that is exported
    seed: int = 0
    device: str = "cpu"
    copying_start: bool = False  # start from weights whose heads copy (copying.py), else from random ones
    compile: bool = False  # torch.compile per layer: faster, last bits differ from the plain run
    checkpoint_seconds: float = 180.0
    log_every: int = 10  # updates per line of metrics

    def describe(self) -> dict[str, Any]:
        """The config as plain values, for the run's folder."""
        plain = {name: value for name, value in vars(self).items() if name != "source"}
        for name in ("model", "objective", "optimizer"):
            plain[name] = asdict(plain[name])
        return {**plain, "source": self.source.describe()}


@dataclass(frozen=True)
class Progress:
    """One line of metrics: means over the updates since the line before."""

    update: int
    examples: int
    denoise: float
    autoregressive: float
    balance: float
    grad_norm: float
    lr: float
    examples_per_second: float
    seconds: float  # since the run began, pauses left out
    seconds_left: float | None


class Trainer:
    """A run in a folder: `metrics.jsonl`, `run.json`, `checkpoint-N.pt`. Continues from the newest checkpoint there.

    `weights`: a state dict to start from where the folder has no checkpoint (with fresh optimisers).
    """

    def __init__(self, config: RunConfig, folder: str | Path, weights: dict[str, torch.Tensor] | None = None):
        self.config = config
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model: DiffusionTransformer = random_model(config.model, config.seed)
        if weights is None and config.copying_start:
            weights = copying_start(config.model, config.seed)
        if weights is not None:
            self.model.load_state_dict(weights)
        self.model.to(config.device)
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.optimizers = make_optimizers(self.model, config.optimizer)
        self.update = 0
        self.examples = 0
        self.seconds = 0.0
        self._resume()
        (self.folder / "run.json").write_text(json.dumps(config.describe(), indent=1) + "\n")
        if config.compile:
            # All layers are one code, specialised per layer and role; the default of 8 leaves most of them uncompiled.
            torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
            for layer in self.model.layers:
                layer.compile(dynamic=False)

    def run(
        self,
        until: int | None = None,
        seconds: float | None = None,
        report: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train up to update `until`, for `seconds`, to the end of the decay, or until told to stop; then save.

        A loss that is not a number raises ModelFailure; the last checkpoint stays as it is.
        """
        optimizer = self.config.optimizer
        if optimizer.decay:
            end = optimizer.decay_from + optimizer.decay
            until = end if until is None else min(until, end)
        started = last_saved = last_logged = time.monotonic()
        before, recent = self.seconds, []
        while (until is None or self.update < until) and not should_stop():
            recent.append(self._one_update())
            now = time.monotonic()
            self.seconds = before + now - started
            if self.update % self.config.log_every == 0:
                progress = self._progress(recent, now - last_logged, now - started, until, seconds)
                self._write(progress)
                if report is not None:
                    report(progress)
                recent, last_logged = [], now
            if now - last_saved > self.config.checkpoint_seconds:
                self.save()
                last_saved = time.monotonic()
            if seconds is not None and now - started >= seconds:
                break
        self.save()

    def _one_update(self) -> tuple[Losses, float]:
        config = self.config
        generator = torch.Generator().manual_seed(config.seed << 32 | self.update)
        losses = training_loss(
            self.model, config.source.batch(self.update, config.batch_size), config.objective, generator
        )
        if not math.isfinite(losses.total.item()):
            raise ModelFailure(
                f"loss={losses.total.item()} at update {self.update}: want a number; the last good checkpoint is "
                f"{self._newest()}, a lower peak_lr (now {config.optimizer.peak_lr}) is the usual remedy"
            )
        losses.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.optimizer.clip_norm)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = config.optimizer.lr(self.update) * group["share"]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.update += 1
        self.examples += config.batch_size
        # A young average forgets faster, or the random start would stay in it for thousands of updates.
        decay = min(config.ema_decay, (1 + self.update) / (10 + self.update))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.average[name].lerp_(parameter, 1 - decay)
        return Losses(losses.total.detach(), *losses[1:]), norm.item()

    def _progress(
        self,
        recent: list[tuple[Losses, float]],
        interval: float,
        elapsed: float,
        until: int | None,
        seconds: float | None,
    ) -> Progress:
        rate = len(recent) / interval
        losses = [losses for losses, _ in recent]
        limits = [] if until is None else [(until - self.update) / rate]
        limits += [] if seconds is None else [seconds - elapsed]
        _, denoise, autoregressive, balance = torch.tensor(losses).mean(0).tolist()
        return Progress(
            update=self.update,
            examples=self.examples,
            denoise=denoise,
            autoregressive=autoregressive,
            balance=balance,
            grad_norm=sum(norm for _, norm in recent) / len(recent),
            lr=self.config.optimizer.lr(self.update - 1),
            examples_per_second=rate * self.config.batch_size,
            seconds=self.seconds,
            seconds_left=min(limits, default=None),
        )

    def _write(self, progress: Progress) -> None:
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(asdict(progress)) + "\n")

    def save(self) -> Path:
        """Writes a checkpoint whole or not at all, then drops those older than the last two."""
        path = self.folder / f"checkpoint-{self.update:08d}.pt"
        state = {
            "update": self.update,
            "examples": self.examples,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        partial = path.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            raise LoadError(
                f"could not write {path} ({error}); the last good checkpoint is {self._newest()}"
            ) from error
        for old in list(_checkpoints(self.folder))[:-NUM_KEPT]:
            old.unlink()
        return path

    def _newest(self) -> Path | None:
        return max(_checkpoints(self.folder), default=None)

    def _resume(self) -> None:
        path = self._newest()
        if path is None:
            return
        state = torch.load(path, map_location=self.config.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            options = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, option in zip(optimizer.param_groups, options, strict=True):
                group.update(option)  # what the config says now, not what it said then
        self.update, self.examples, self.seconds = state["update"], state["examples"], state["seconds"]
        self._forget_metrics()
        log.info("going on from %s", path)

    def _forget_metrics(self) -> None:
        """Drop the lines written after the checkpoint; their updates come again."""
        path = self.folder / "metrics.jsonl"
        if path.exists():
            lines = path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["update"] <= self.update]
            path.write_text("".join(kept))


def load_average(path: str | Path) -> dict[str, torch.Tensor]:
    """The averaged weights of a checkpoint file, or of the newest one in a run's folder."""
    path = Path(path)
    if path.is_dir():
        newest = max(_checkpoints(path), default=None)
        if newest is None:
            raise LoadError(f"{path} holds no checkpoint-N.pt")
        path = newest
    return torch.load(path, map_location="cpu", weights_only=True)["average"]


def _checkpoints(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.glob("checkpoint-*.pt")))
