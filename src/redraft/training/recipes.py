"""Whole run configs, as functions of the data they need."""

import math
from pathlib import Path
from typing import Any

from redraft.checkpoint.config import read_generation_defaults
from redraft.checkpoint.fetch import resolve
from redraft.config import GenerationDefaults, LayerConfig, ModelConfig
from redraft.errors import InvalidRequest
from redraft.training import mini_data
from redraft.training.config import RunConfig
from redraft.training.data import BOS, EOS, BatchSource, BlankSource, SudokuSource
from redraft.training.examples import ExampleReader, ExampleSource
from redraft.training.lora import LoraConfig
from redraft.training.objective import Objective
from redraft.training.optimizer import OptimizerConfig

MINI_MIX = {"forms": 18, "long_forms": 2, "infill": 10, "continuation": 2}  # in 32nds of a batch
# A twentieth of the usual entropy bound: forms are right more often (docs/log.md), at two steps more.
MINI_GENERATION = GenerationDefaults(
    max_tokens=64, max_denoising_steps=32, entropy_bound=0.005, eos_token_ids=(1, 6, 14)
)
MINI_STOP_IDS = (1, 6, 14)  # the end of a document, of a turn, of a tool call's wait
# A board not settled after sixteen denoising steps seldom settles, one that starts anew often does (docs/log.md).
SUDOKU_GENERATION = GenerationDefaults(max_tokens=82, max_denoising_steps=128, restart_after=16, eos_token_ids=(1,))
MODELS = Path(__file__).parents[1] / "models"  # where exported models have their tokenizer and chat template from


def sudoku_model() -> ModelConfig:
    """0.92 M parameters with every mechanism of the architecture.

    Depth before width: depth carries propagation (measured: 4 layers of 128 solve nothing while 6 of 96 take off).
    """
    layer = {"rope_theta": 100.0, "rope_fraction": 1.0}
    sliding = LayerConfig(is_sliding=True, num_kv_heads=2, head_dim=24, shares_kv=False, **layer)
    full = LayerConfig(is_sliding=False, num_kv_heads=1, head_dim=48, shares_kv=True, **layer)
    return ModelConfig(
        vocab_size=16,
        hidden_size=96,
        intermediate_size=192,
        moe_intermediate_size=48,
        num_experts=4,
        num_experts_per_token=2,
        num_heads=4,
        layers=(sliding, sliding, full, sliding, sliding, full),
        sliding_window=192,
        rms_norm_eps=1e-6,
        logit_softcap=30.0,
        canvas_length=82,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=BOS,
        eos_token_ids=(EOS,),
    )


def sudoku(data: str | Path | None, seed: int = 0, **optimizer) -> RunConfig:
    """redraft-sudoku: puzzles of 24 to 46 givens from a file of `redraft.training.sudoku`; 33 a second on one core.

    Few givens are preferred, and half of the self-conditioned canvases are ones the sampler would visit: both serve the
    puzzles that take many denoising steps.
    """
    return RunConfig(
        name="redraft-sudoku",
        model=sudoku_model(),
        source=BlankSource(83, 82) if data is None else SudokuSource.from_file(data, seed=seed, skew=1.5),
        objective=Objective(visited=0.5),
        optimizer=OptimizerConfig(**{"muon": True, "peak_lr": 4e-3, "weight_decay": 0.01, **optimizer}),
        batch_size=32,
        ema_decay=0.996,
        seed=seed,
        compile=True,
        generation=SUDOKU_GENERATION,
        files=MODELS / "redraft-sudoku",
    )


def mini_model() -> ModelConfig:
    """1.3 M parameters, 0.4 M of them the table of 4,096 tokens: what hours of one core can teach.

    Heads are wider than their share of the width, so that one carries what tells tokens apart: copying is the task.
    """
    return _mini(width=96, layers="SSFSSF", num_heads=4, sliding=(2, 32), full=(1, 64), dense=192, experts=(4, 48))


def _mini(
    width: int, layers: str, num_heads: int, sliding: tuple[int, int], full: tuple[int, int], dense: int,
    experts: tuple[int, int],
) -> ModelConfig:  # fmt: skip
    """S: a sliding layer, F: a full one; (key-value heads, head size) of each; (number, size) of the experts."""
    rope = {"rope_theta": 1000.0, "rope_fraction": 1.0}
    kinds = {
        "S": LayerConfig(is_sliding=True, num_kv_heads=sliding[0], head_dim=sliding[1], shares_kv=False, **rope),
        "F": LayerConfig(is_sliding=False, num_kv_heads=full[0], head_dim=full[1], shares_kv=True, **rope),
    }
    return ModelConfig(
        vocab_size=4096,
        hidden_size=width,
        intermediate_size=dense,
        moe_intermediate_size=experts[1],
        num_experts=experts[0],
        num_experts_per_token=2,
        num_heads=num_heads,
        layers=tuple(kinds[kind] for kind in layers),
        sliding_window=128,
        rms_norm_eps=1e-6,
        logit_softcap=30.0,
        canvas_length=mini_data.CANVAS_LENGTH,
        max_position_embeddings=4096,
        pad_token_id=mini_data.PAD,
        bos_token_id=mini_data.BOS,
        eos_token_ids=MINI_STOP_IDS,
    )


def mini_cpu(
    data: str | Path | None,
    seed: int = 0,
    batch_size: int = 32,
    self_conditioning: float = 0.5,
    mix: dict[str, int] | None = None,
    **optimizer,
) -> RunConfig:
    """redraft-mini on a folder of `mini_data.prepare`; the default mix is forms and one-line infill of Python."""
    return RunConfig(
        name="redraft-mini",
        model=mini_model(),
        source=_mini_source(data, mix or MINI_MIX),
        objective=Objective(
            autoregressive=0.3,
            autoregressive_on_canvas=True,
            autoregressive_on_prompt=False,
            self_conditioning=self_conditioning,
            num_candidates=1024,
        ),
        optimizer=OptimizerConfig(**{"muon": True, "peak_lr": 4e-3, "warmup": 40, "weight_decay": 0.01, **optimizer}),
        batch_size=batch_size,
        ema_decay=0.998,
        seed=seed,
        copying_start=True,
        generation=MINI_GENERATION,
        files=MODELS / "redraft-mini",
    )


def mini_full_model() -> ModelConfig:
    """22.6 M parameters."""
    return _mini(width=384, layers="SSFSSF", num_heads=8, sliding=(4, 64), full=(2, 128), dense=768, experts=(8, 192))


def mini_full(data: str | Path | None, seed: int = 0, stage: int = 0) -> RunConfig:
    """A larger redraft-mini in three stages on one GPU; never run yet. Each starts from the averaged weights before it.

    0: Python on canvases that grow from 16 to 64, 1: forms, infill and continuation at 60, 30 and 10 of 100, 2: the
    same with the rate going to zero. `plan.make_plan` says what a stage takes.
    """
    if stage not in (0, 1, 2):
        raise InvalidRequest(f"stage={stage!r}: want 0, 1 or 2")
    updates = (4_000, 12_000, 3_000)[stage]
    mixed = {"forms": 18, "long_forms": 1, "infill": 10, "continuation": 3}
    return RunConfig(
        name=f"redraft-mini-full-{stage}",
        model=mini_full_model(),
        source=_mini_source(data, {"infill": 16, "continuation": 16} if stage == 0 else mixed),
        objective=Objective(autoregressive=1.0, autoregressive_on_canvas=True, spans=0.25),
        optimizer=OptimizerConfig(
            muon=True, peak_lr=2e-3, weight_decay=0.01, warmup=300, decay=updates if stage == 2 else 0
        ),
        batch_size=512,
        updates=updates,
        canvas_lengths=((0, 16), (1_000, 32), (2_000, 64)) if stage == 0 else (),
        seed=seed + stage,
        generation=MINI_GENERATION,
        files=MODELS / "redraft-mini",
    )  # no compile: trimmed batches change shape


def finetune(
    data: str | Path,
    seed: int = 0,
    *,
    model: str,
    lora: LoraConfig | None,
    epochs: float = 3.0,
    peak_lr: float = 3e-4,
    batch_size: int = 16,
    accumulate: int = 1,
    **options: Any,
) -> RunConfig:
    """Any checkpoint in the published layout on lines of chats or of prompts and completions (examples.py).

    `lora` None trains all weights but the routers, which released training code freezes too. The rate warms up over a
    tenth of the updates and falls to zero over all of them. `options` are further fields of RunConfig.
    """
    directory = resolve(model, only=("*.json", "*.jinja"))  # the weights come when the run starts
    reader = ExampleReader.from_directory(directory)
    examples = reader.file(data)
    updates = math.ceil(epochs * len(examples) / (batch_size * accumulate))
    return RunConfig(
        name=f"{model}, fine-tuned",
        model=reader.config,
        source=ExampleSource(tuple(examples), reader.config.canvas_length, reader.stop_ids[0], seed),
        objective=Objective(
            autoregressive=1.0, autoregressive_on_canvas=True, autoregressive_on_prompt=False, balance=0.0
        ),
        optimizer=OptimizerConfig(
            peak_lr=peak_lr, warmup=max(1, updates // 10), decay=updates, weight_decay=1e-4, betas=(0.9, 0.99)
        ),
        batch_size=batch_size,
        accumulate=accumulate,
        ema_decay=0.99,
        seed=seed,
        base=model,
        lora=lora,
        frozen=() if lora else ("router",),
        generation=read_generation_defaults(directory),
        files=directory,
        **options,
    )


def _mini_source(data: str | Path | None, mix: dict[str, int]) -> BatchSource:
    if data is None:
        return BlankSource(mini_data.PROMPT_LENGTH, mini_data.CANVAS_LENGTH)
    return mini_data.MiniSource.from_folder(data, mix)
