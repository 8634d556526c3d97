"""Whole run configs, as functions of the data they need."""

from pathlib import Path

from redraft.config import LayerConfig, ModelConfig
from redraft.training import mini_data
from redraft.training.data import BOS, EOS, SudokuSource
from redraft.training.objective import Objective
from redraft.training.optimizer import OptimizerConfig
from redraft.training.trainer import RunConfig

MINI_MIX = {"forms": 28, "long_forms": 1, "infill": 2, "continuation": 1}  # in 32nds of a batch
MINI_STOP_IDS = (1, 6, 14)  # the end of a document, of a turn, of a tool call's wait


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


def sudoku(data: str | Path, seed: int = 0, **optimizer) -> RunConfig:
    """redraft-sudoku: puzzles of 24 to 46 givens from a file of `redraft.training.sudoku`; 33 a second on one core."""
    return RunConfig(
        name="redraft-sudoku",
        model=sudoku_model(),
        source=SudokuSource.from_file(data, seed=seed),
        objective=Objective(),
        optimizer=OptimizerConfig(**{"muon": True, "peak_lr": 4e-3, "weight_decay": 0.01, **optimizer}),
        batch_size=32,
        ema_decay=0.996,
        seed=seed,
        compile=True,
    )


def mini_model() -> ModelConfig:
    """1.4 M parameters, a third of them the table of 4,096 tokens; prompts of a sentence or a few lines of code.

    Heads are wider than their share of the width, so that one carries what tells tokens apart: copying is the task.
    """
    layer = {"rope_theta": 1000.0, "rope_fraction": 1.0}
    sliding = LayerConfig(is_sliding=True, num_kv_heads=2, head_dim=32, shares_kv=False, **layer)
    full = LayerConfig(is_sliding=False, num_kv_heads=1, head_dim=64, shares_kv=True, **layer)
    return ModelConfig(
        vocab_size=4096,
        hidden_size=96,
        intermediate_size=192,
        moe_intermediate_size=48,
        num_experts=4,
        num_experts_per_token=2,
        num_heads=4,
        layers=(sliding, sliding, full, sliding, sliding, full),
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
    data: str | Path, seed: int = 0, self_conditioning: float = 0.25, mix: dict[str, int] | None = None, **optimizer
) -> RunConfig:
    """redraft-mini as shipped: about an hour on one core, on a folder of `mini_data.prepare`."""
    return RunConfig(
        name="redraft-mini",
        model=mini_model(),
        source=mini_data.MiniSource.from_folder(data, mix or MINI_MIX),
        objective=Objective(
            autoregressive=0.3,
            autoregressive_on_canvas=True,
            autoregressive_on_prompt=False,
            self_conditioning=self_conditioning,
            num_candidates=768,
        ),
        optimizer=OptimizerConfig(**{"muon": True, "peak_lr": 3e-3, "weight_decay": 0.01, **optimizer}),
        batch_size=32,
        ema_decay=0.99,
        seed=seed,
    )
