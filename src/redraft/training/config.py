"""A whole training run as one frozen value."""

import json
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

import torch

from redraft.config import GenerationDefaults, ModelConfig
from redraft.errors import InvalidRequest
from redraft.training.data import BatchSource
from redraft.training.lora import LoraConfig
from redraft.training.objective import Objective
from redraft.training.optimizer import OptimizerConfig

_DTYPES = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole run. Two runs with equal configs on one machine give equal losses, interrupted or not."""

    name: str
    model: ModelConfig
    source: BatchSource
    objective: Objective = field(default_factory=Objective)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 64  # examples per forward
    accumulate: int = 1  # forwards whose mean gradient makes one update
    updates: int | None = None  # where the run ends; None: where the decay of the rate ends, or never
    canvas_lengths: tuple[tuple[int, int], ...] = ()  # warm-up: (update, canvas length from there on); (): whole
    ema_decay: float = 0.999  # of the average of the weights that is exported
    seed: int = 0
    device: str = "auto"  # CUDA where there is one
    dtype: str = "auto"  # of products: bfloat16 on CUDA, else float32; weights, average and optimiser are float32
    recompute: bool = False  # layers run again in the backward pass: a layer's input is kept, not all within it
    base: str | None = None  # the checkpoint that is fine-tuned, as `redraft.load` takes it; None: from scratch
    lora: LoraConfig | None = None  # train adapters alone, the base in the precision of the products; None: all weights
    frozen: tuple[str, ...] = ()  # parameters with one of these in their name stay as they are
    copying_start: bool = False  # start from weights whose heads copy (copying.py), else from random ones
    compile: bool = False  # torch.compile per layer: faster, last bits differ from the plain run
    checkpoint_seconds: float = 180.0
    log_every: int = 10  # updates per line of metrics
    generation: GenerationDefaults = field(default_factory=GenerationDefaults)  # of the exported checkpoint
    files: Path | None = None  # checkpoint whose tokenizer and chat template are exported too

    def __post_init__(self):
        for name in ("batch_size", "accumulate", "log_every"):
            if getattr(self, name) < 1:
                raise InvalidRequest(f"{name}={getattr(self, name)}: want an integer >= 1")
        if self.dtype not in _DTYPES:
            raise InvalidRequest(f"dtype={self.dtype!r}: want one of {', '.join(_DTYPES)}")
        if self.recompute and self.compile:
            raise InvalidRequest("recompute with compile: want one of the two")
        if list(self.canvas_lengths) != sorted(self.canvas_lengths) or any(n < 1 for _, n in self.canvas_lengths):
            raise InvalidRequest(f"canvas_lengths={self.canvas_lengths}: want (update, length >= 1), updates rising")

    @property
    def last_update(self) -> int | None:
        """The update after which the run is over, None for never."""
        decay_end = self.optimizer.decay_from + self.optimizer.decay if self.optimizer.decay else None
        return min((end for end in (self.updates, decay_end) if end is not None), default=None)

    @property
    def place(self) -> torch.device:
        """The device the run is on."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @property
    def precision(self) -> torch.dtype:
        """What products are computed in."""
        if self.dtype == "auto":
            return torch.bfloat16 if self.place.type == "cuda" else torch.float32
        return getattr(torch, self.dtype)

    def canvas_length(self, update: int) -> int:
        """The longest canvas of an update."""
        begun = [length for start, length in self.canvas_lengths if start <= update]
        return min(begun[-1] if begun else self.model.canvas_length, self.model.canvas_length)

    def describe(self) -> dict[str, Any]:
        """The config as plain values for JSON, for the run's folder."""
        values = {**vars(self), "source": self.source.describe()}
        return json.loads(json.dumps(values, default=_plain))


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
