"""A run from its start to an exported checkpoint."""

import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from redraft.checkpoint.adapter import merge_adapter
from redraft.checkpoint.config import OWN_FILE
from redraft.checkpoint.load import load_model
from redraft.checkpoint.save import save_model
from redraft.model.transformer import DiffusionTransformer
from redraft.training import lora
from redraft.training.checkpoints import load_average
from redraft.training.config import RunConfig
from redraft.training.data_parallel import ALONE, DataParallel
from redraft.training.metrics import Progress
from redraft.training.trainer import Trainer, first_model


def start(
    out: str | Path,
    config: RunConfig,
    *,
    decay: int | None = None,
    weights: str | None = None,
    parallel: DataParallel = ALONE,
) -> Trainer:
    """A trainer in folder `out`, at its newest checkpoint.

    decay: bring the learning rate to zero over so many updates from here, then end; a folder whose decay has begun goes
    on with that one. weights: what a new run starts from: the averaged weights of a run's folder or of one checkpoint
    file in it, or a model as `redraft.load` takes it. parallel: the processes that share the run; the first one has to
    come here before the others (`DataParallel.first_alone`).
    """
    folder = Path(out)
    record = folder / "decay.json"
    first = None if weights is None else _weights(weights)
    if decay is not None and not record.exists():
        trainer = Trainer(config, folder, weights=first, parallel=parallel)
        record.write_text(json.dumps({"decay_from": trainer.update, "decay": decay}) + "\n")
    if record.exists():
        config = replace(config, optimizer=replace(config.optimizer, **json.loads(record.read_text())))
    return Trainer(config, folder, weights=first, parallel=parallel)


def _weights(source: str) -> dict[str, torch.Tensor]:
    is_run = source.endswith(".pt") or any(Path(source).glob("checkpoint-*.pt"))
    return load_average(source) if is_run else load_model(source, kernels="torch").state_dict()


def run(trainer: Trainer, seconds: float | None = None, report: Callable[[Progress], None] | None = None) -> None:
    """Trains until time or decay is over. SIGTERM and SIGINT end it after the update in hand, with a checkpoint."""
    torch.set_flush_denormal(True)  # late in a run tiny values are common, and slow
    try:
        with _stop_signals() as stopped:
            trainer.run(seconds=seconds, report=report, should_stop=stopped.is_set)
    finally:
        torch.set_flush_denormal(False)  # the mode is the thread's, and other work may want them


def save_adapter(config: RunConfig, checkpoint: str | Path, directory: str | Path) -> Path:
    """The directory, with the averaged adapter of a run in PEFT's format."""
    assert config.lora is not None, "the run trains an adapter"
    return lora.save(config.model, config.lora, load_average(checkpoint), directory, config.base)


def export(config: RunConfig, checkpoint: str | Path, directory: str | Path) -> Path:
    """The directory, with the averaged weights of a run in the published layout, bf16, and the base's other files.

    An adapter is merged into its base. The image tower of a base is kept.
    """
    model = _exported(config, checkpoint)
    source = None if config.base is None else config.files
    shards = 2**24 if source is None else 5 * 2**30
    path = save_model(
        model, directory, generation=config.generation, dtype=torch.bfloat16, max_shard_bytes=shards, source=source
    )
    for file in [] if config.files is None else config.files.iterdir():
        is_ours = file.name in ("config.json", "generation_config.json", OWN_FILE) or file.name.endswith(".index.json")
        if file.suffix in (".json", ".jinja", ".model") and not is_ours and file.parent.resolve() != path.resolve():
            shutil.copy(file, path / file.name)
    return path


def _exported(config: RunConfig, checkpoint: str | Path) -> DiffusionTransformer:
    if config.lora is not None:
        assert config.base is not None, "an adapter is of a base"
        model = load_model(config.base, dtype=torch.bfloat16, kernels="torch")
        with TemporaryDirectory() as folder:
            merge_adapter(model, save_adapter(config, checkpoint, folder))
        return model
    model = first_model(replace(config, device="cpu", copying_start=False))
    model.load_state_dict(load_average(checkpoint), strict=False)  # what was frozen is the base's
    return model


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
