"""What is timed: a model with real prompts. The benchmark's own model has random weights of a fixed shape."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from redraft.benchmark.workload import Workload, workload_for
from redraft.checkpoint.fetch import resolve
from redraft.checkpoint.save import save_model
from redraft.config import ModelConfig
from redraft.model.transformer import random_model
from redraft.training.recipes import mini_full_model

SUITE = ("redraft-sudoku", "random-64", "random-256")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model of a benchmark."""

    name: str
    model: str  # what `redraft.load` takes
    workload: Workload
    is_trained: bool = True  # else its replies mean nothing, and only steps are timed


def case_of(model: str, folder: Path, seed: int, workload: Workload | None = None) -> Case:
    """The case of any model that can be loaded, or of one of SUITE's random models, which is written to `folder`."""
    is_trained = model == "redraft-sudoku" or model not in SUITE
    directory = folder / model
    if not is_trained:
        write_random_model(directory, random_config(int(model.removeprefix("random-"))), seed)
    return Case(
        name=model,
        model=model if is_trained else str(directory),
        workload=workload or workload_for(model),
        is_trained=is_trained,
    )


def random_config(canvas_length: int) -> ModelConfig:
    """The shape of 22.6 M parameters: width 384, six layers (four sliding), 8 experts of 192, 4,096 ids."""
    return replace(mini_full_model(), canvas_length=canvas_length, sliding_window=512)


def write_random_model(folder: Path, config: ModelConfig, seed: int) -> Path:
    """A directory with random weights in the published layout, and redraft-mini's tokenizer; deterministic."""
    directory = save_model(random_model(config, seed), folder)
    for name in _TOKENIZER_FILES:
        shutil.copy(resolve("redraft-mini") / name, directory)
    return directory
