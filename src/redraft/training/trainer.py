"""The training loop: updates, checkpoints that a killed run goes on from exactly, metrics.

Nothing random outlives an update: batches and noise are functions of their number, so weights, their average, the
optimisers' state and the number of the update are the whole state of a run.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch._dynamo
from torch.utils.checkpoint import checkpoint

from redraft.checkpoint.load import load_model
from redraft.errors import InvalidRequest, LoadError, ModelFailure
from redraft.model.transformer import DiffusionTransformer, random_model
from redraft.training import checkpoints, metrics
from redraft.training.config import RunConfig
from redraft.training.copying import copying_start
from redraft.training.data import Group
from redraft.training.data_parallel import ALONE, DataParallel
from redraft.training.lora import attach
from redraft.training.metrics import Progress
from redraft.training.noise import shortened
from redraft.training.objective import training_loss
from redraft.training.optimizer import make_optimizers

log = logging.getLogger(__name__)


class Update(NamedTuple):
    """What one update was like; losses are means over its batches."""

    denoise: float
    autoregressive: float
    balance: float
    grad_norm: float
    num_tokens: int


class Trainer:
    """A run in a folder: `metrics.jsonl`, `run.json`, `checkpoint-N.pt`. Continues from the newest checkpoint there.

    `weights`: a state dict to start from where the folder has no checkpoint (with fresh optimisers). `parallel`: the
    processes that share each update; the first alone writes to the folder.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: str | Path,
        weights: dict[str, torch.Tensor] | None = None,
        parallel: DataParallel = ALONE,
    ):
        parallel.check(config)
        self.config = config
        self.parallel = parallel
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = first_model(config, weights)
        self.trainable = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.trainable.items()}
        self.optimizers = make_optimizers(self.model, config.optimizer)
        self.update = 0
        self.examples = 0
        self.seconds = 0.0
        self._resume()
        if parallel.is_first:
            metrics.forget(self.folder, self.update)
            (self.folder / "run.json").write_text(json.dumps(config.describe(), indent=1) + "\n")
        if config.recompute:
            for layer in self.model.layers:
                layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
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
        """Train up to update `until`, for `seconds`, to the run's last update, or until told to stop; then save.

        A loss or gradient that is not a number raises ModelFailure; the last checkpoint stays as it is.
        """
        until = min((end for end in (until, self.config.last_update) if end is not None), default=None)
        started = last_saved = last_logged = time.monotonic()
        before, recent = self.seconds, []

        def is_over() -> bool:
            is_late = seconds is not None and time.monotonic() - started >= seconds
            return should_stop() or is_late or (until is not None and self.update >= until)

        while not self.parallel.agree(is_over()):
            recent.append(self._one_update())
            now = time.monotonic()
            self.seconds = before + now - started
            if self.update % self.config.log_every == 0 or self.update == until:
                limits = (
                    None if until is None else until - self.update,
                    None if seconds is None else seconds - (now - started),
                )
                self._say(self._progress(recent, now - last_logged, *limits), report)
                recent, last_logged = [], now
            if now - last_saved > self.config.checkpoint_seconds:
                self.save()
                last_saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Writes the checkpoint of where the run stands."""
        if not self.parallel.is_first:
            return
        state = {
            "update": self.update,
            "examples": self.examples,
            "seconds": self.seconds,
            "model": {name: parameter.detach() for name, parameter in self.trainable.items()},
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        checkpoints.save(self.folder, self.update, state)

    def _one_update(self) -> Update:
        config = self.config
        first = self.update * config.accumulate
        batches = self.parallel.batches(range(first, first + config.accumulate))
        totals = torch.tensor([self._add_gradient(index) for index in batches], dtype=torch.float64).sum(0)
        self.parallel.add([totals])
        self.parallel.add_gradients(self.trainable.values())
        denoise, autoregressive, balance, num_tokens = totals.tolist()
        self._check("loss", denoise + autoregressive + balance)
        norm = torch.nn.utils.clip_grad_norm_(self.trainable.values(), config.optimizer.clip_norm).item()
        self._check("gradient norm", norm)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = config.optimizer.lr(self.update) * group["share"]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.update += 1
        self.examples += config.batch_size * config.accumulate
        # A young average forgets faster, or the random start would stay in it for thousands of updates.
        decay = min(config.ema_decay, (1 + self.update) / (10 + self.update))
        with torch.no_grad():
            for name, parameter in self.trainable.items():
                self.average[name].lerp_(parameter, 1 - decay)
        share = 1 / config.accumulate
        return Update(denoise * share, autoregressive * share, balance * share, norm, int(num_tokens))

    def _add_gradient(self, index: int) -> tuple[float, float, float, int]:
        """Adds the gradient of batch `index`, its share of an update; returns its losses and its number of tokens."""
        config, place = self.config, self.config.place
        generator = torch.Generator().manual_seed(config.seed << 32 | index)
        groups = config.source.batch(index, config.batch_size)
        _check_ids(groups, index, self.model.vocab_size)
        length = config.canvas_length(self.update)
        if length < config.model.canvas_length:
            groups = [shortened(group, length, generator) for group in groups]
        is_low = config.precision != torch.float32
        # No cache of casts: one made in the pass without gradient would be used in the one with it.
        with torch.autocast(place.type, config.precision, enabled=is_low, cache_enabled=False):
            losses = training_loss(self.model, groups, config.objective, generator)
        (losses.total / config.accumulate).backward()
        num_tokens = sum(group.prompt.numel() + group.canvas.numel() for group in groups)
        return losses.denoise.item(), losses.autoregressive.item(), losses.balance.item(), num_tokens

    def _say(self, progress: Progress, report: Callable[[Progress], None] | None) -> None:
        if self.parallel.is_first:
            metrics.append(self.folder, progress)
            if report is not None:
                report(progress)

    def _check(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise ModelFailure(
                f"{name}={value} at update {self.update}: want a number; the last good checkpoint is "
                f"{checkpoints.newest(self.folder)}, a lower peak_lr (now {self.config.optimizer.peak_lr}) is the "
                "usual remedy"
            )

    def _progress(
        self, recent: Sequence[Update], interval: float, updates_left: int | None, seconds_left: float | None
    ) -> Progress:
        rate = len(recent) / interval
        limits = [seconds_left, None if updates_left is None else updates_left / rate]
        denoise, autoregressive, balance = torch.tensor([update[:3] for update in recent]).mean(0).tolist()
        return Progress(
            update=self.update,
            examples=self.examples,
            denoise=denoise,
            autoregressive=autoregressive,
            balance=balance,
            grad_norm=sum(update.grad_norm for update in recent) / len(recent),
            lr=self.config.optimizer.lr(self.update - 1),
            examples_per_second=rate * self.config.batch_size * self.config.accumulate,
            tokens_per_second=sum(update.num_tokens for update in recent) / interval,
            seconds=self.seconds,
            seconds_left=min((limit for limit in limits if limit is not None), default=None),
        )

    def _resume(self) -> None:
        path = checkpoints.newest(self.folder)
        if path is None:
            return
        state = checkpoints.read(path, self.config.place)
        shapes = {name: parameter.shape for name, parameter in self.trainable.items()}
        if {name: tensor.shape for name, tensor in state["model"].items()} != shapes:
            raise LoadError(
                f"{path} holds other parameters than {self.config.name} trains: want a folder of its own for each run"
            )
        with torch.no_grad():
            for name, parameter in self.trainable.items():
                parameter.copy_(state["model"][name])
        self.average = state["average"]
        if [len(saved["param_groups"]) for saved in state["optimizers"]] != [
            len(o.param_groups) for o in self.optimizers
        ]:
            raise LoadError(f"{path} is of other optimizers than {self.config.name}'s: start anew from its weights")
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            options = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, option in zip(optimizer.param_groups, options, strict=True):
                group.update(option)  # what the config says now, not what it said then
        self.update, self.examples, self.seconds = state["update"], state["examples"], state["seconds"]
        log.info("going on from %s", path)


def first_model(config: RunConfig, weights: dict[str, torch.Tensor] | None = None) -> DiffusionTransformer:
    """The model a run starts from, on its device; what is to be trained requires gradients."""
    if config.base is not None:
        stored = torch.float32 if config.lora is None else config.precision
        model = load_model(config.base, config.place, stored, kernels="torch").requires_grad_(True)
    else:
        model = random_model(config.model, config.seed)
        if weights is None and config.copying_start:
            weights = copying_start(config.model, config.seed)
    if weights is not None:
        _check_shapes(model, weights)
        model.load_state_dict(weights)
    model.to(config.place)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(part in name for part in config.frozen))
    if config.lora is not None:
        attach(model, config.lora, config.seed)
    return model


def _check_shapes(model: DiffusionTransformer, weights: dict[str, torch.Tensor]) -> None:
    wanted = {name: parameter.shape for name, parameter in model.named_parameters()}
    if {name: tensor.shape for name, tensor in weights.items()} != wanted:
        raise LoadError(f"weights of another model: want {len(wanted)} tensors of the shapes of this config")


def _check_ids(groups: Sequence[Group], index: int, vocab_size: int) -> None:
    for group in groups:
        for name, ids in (("prompt", group.prompt), ("canvas", group.canvas)):
            if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocab_size:
                raise InvalidRequest(
                    f"batch {index}: a {name} has the token id {int(ids.min()) if ids.min() < 0 else int(ids.max())}: "
                    f"want 0 to {vocab_size - 1}, the data may be of another tokenizer"
                )
