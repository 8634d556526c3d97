"""Runs by name: recipe and folder in, weights and a checkpoint in the published layout out."""

import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import redraft
from redraft.checkpoint.load import load_model
from redraft.checkpoint.save import save_model
from redraft.config import GenerationDefaults
from redraft.errors import InvalidRequest
from redraft.model.transformer import DiffusionTransformer, random_model
from redraft.training.checkpoints import load_average
from redraft.training.config import RunConfig
from redraft.training.corpus import gather
from redraft.training.metrics import Progress
from redraft.training.mini_data import prepare
from redraft.training.recipes import MINI_GENERATION, mini_cpu, mini_model, sudoku, sudoku_model
from redraft.training.sudoku import save_paths
from redraft.training.trainer import Trainer

SUDOKU_PATHS = 16_000  # made where a run has no data file yet: some three minutes, and 23 puzzles a path
MINI_FORMS, MINI_TEXTS = 240_000, 160_000  # some fifteen minutes
MINI_FILES = Path(redraft.__file__).parent / "models" / "redraft-mini"  # tokenizer and chat template
# Sixteen denoising steps solve as many as 48 (docs/training.md): a board not settled by then does not settle.
SUDOKU_GENERATION = GenerationDefaults(max_tokens=82, max_denoising_steps=16, eos_token_ids=(1,))


def start(out: str | Path, config: RunConfig, *, decay: int | None = None, weights: str | None = None) -> Trainer:
    """A trainer in folder `out`, at its newest checkpoint.

    decay: bring the learning rate to zero over so many updates from here, then end; a folder whose decay has begun goes
    on with that one. weights: what a new run starts from: the averaged weights of a run's folder or of one checkpoint
    file in it, or a model as `redraft.load` takes it.
    """
    folder = Path(out)
    record = folder / "decay.json"
    torch.set_flush_denormal(True)  # late in a run tiny values are common, and slow
    first = None if weights is None else _weights(weights)
    if decay is not None and not record.exists():
        trainer = Trainer(config, folder, weights=first)
        record.write_text(json.dumps({"decay_from": trainer.update, "decay": decay}) + "\n")
    if record.exists():
        config = replace(config, optimizer=replace(config.optimizer, **json.loads(record.read_text())))
    return Trainer(config, folder, weights=first)


def _weights(source: str) -> dict[str, torch.Tensor]:
    is_run = source.endswith(".pt") or any(Path(source).glob("checkpoint-*.pt"))
    return load_average(source) if is_run else load_model(source).state_dict()


def sudoku_config(out: str | Path, data: str | Path | None = None, seed: int = 0, **optimizer: Any) -> RunConfig:
    """The recipe of redraft-sudoku; makes `out/paths.npz` from the seed where no data is given and none is there."""
    path = Path(out) / "paths.npz" if data is None else Path(data)
    if data is None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_paths(path, SUDOKU_PATHS, seed)
    if not path.exists():
        raise InvalidRequest(f"data={str(data)!r}: want a file of redraft.training.sudoku.save_paths")
    return sudoku(path, seed, **optimizer)


def mini_config(out: str | Path, data: str | Path | None = None, seed: int = 0, **optimizer: Any) -> RunConfig:
    """The recipe of redraft-mini; where no data is given and none is there, gathers a corpus and makes `out/data`."""
    folder = Path(out) / "data" if data is None else Path(data)
    if data is None and not (folder / "manifest.json").exists():
        corpus = Path(out) / "corpus"
        gather(corpus, seed)
        prepare(folder, corpus, MINI_FILES, MINI_FORMS, MINI_TEXTS, seed=seed)
    if not (folder / "manifest.json").exists():
        raise InvalidRequest(f"data={str(data)!r}: want a folder of redraft.training.mini_data.prepare")
    return mini_cpu(folder, seed, **optimizer)


def run(trainer: Trainer, seconds: float | None = None, report: Callable[[Progress], None] | None = None) -> None:
    """Trains until time or decay is over. SIGTERM and SIGINT end it after the update in hand, with a checkpoint."""
    with _stop_signals() as stopped:
        trainer.run(seconds=seconds, report=report, should_stop=stopped.is_set)


def export_sudoku(checkpoint: str | Path, directory: str | Path, tokenizer: str | Path | None = None) -> Path:
    """The directory, with the averaged weights of a run in the published layout, bf16, and the tokenizer's files."""
    model: DiffusionTransformer = random_model(sudoku_model())
    model.load_state_dict(load_average(checkpoint))
    path = save_model(model, directory, generation=SUDOKU_GENERATION, dtype=torch.bfloat16)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if tokenizer is not None:
            shutil.copy(Path(tokenizer) / name, path / name)
    return path


def export_mini(checkpoint: str | Path, directory: str | Path) -> Path:
    """The directory, with the averaged weights of a run in the published layout, bf16, tokenizer and chat template."""
    model: DiffusionTransformer = random_model(mini_model())
    model.load_state_dict(load_average(checkpoint))
    path = save_model(model, directory, generation=MINI_GENERATION, dtype=torch.bfloat16, max_shard_bytes=2**24)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if path.resolve() != MINI_FILES.resolve():
            shutil.copy(MINI_FILES / name, path / name)
    return path


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    stopped = threading.Event()
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(kind, lambda *_: stopped.set()) for kind in kinds]
    try:
        yield stopped
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
