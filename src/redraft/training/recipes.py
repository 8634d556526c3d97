"""Whole run configs, as functions of the data they need."""

from pathlib import Path

from redraft.config import LayerConfig, ModelConfig
from redraft.training.data import BOS, EOS, SudokuSource
from redraft.training.objective import Objective
from redraft.training.optimizer import OptimizerConfig
from redraft.training.trainer import RunConfig


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
    """redraft-sudoku: puzzles of 24 to 46 givens from a file of `redraft.training.sudoku`."""
    return RunConfig(
        name="redraft-sudoku",
        model=sudoku_model(),
        source=SudokuSource.from_file(data, seed=seed),
        objective=Objective(),
        optimizer=OptimizerConfig(**optimizer),
        seed=seed,
        compile=True,
    )
