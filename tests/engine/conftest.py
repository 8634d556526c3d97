"""A tiny engine: random weights around the Sudoku tokenizer, so every path runs on real token boundaries."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import redraft
from redraft.checkpoint.save import save_model
from redraft.config import GenerationDefaults, LayerConfig, ModelConfig
from redraft.model.transformer import random_model

MODELS = Path(redraft.__file__).parent / "models"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def tiny_config(canvas_length: int = 8) -> ModelConfig:
    rope = {"rope_theta": 100.0, "rope_fraction": 1.0}
    sliding = LayerConfig(is_sliding=True, num_kv_heads=2, head_dim=8, shares_kv=False, **rope)
    full = LayerConfig(is_sliding=False, num_kv_heads=1, head_dim=16, shares_kv=True, **rope)
    return ModelConfig(
        vocab_size=16,
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=16,
        num_experts=4,
        num_experts_per_token=2,
        num_heads=4,
        layers=(sliding, full),
        sliding_window=16,
        rms_norm_eps=1e-6,
        logit_softcap=30.0,
        canvas_length=canvas_length,
        max_position_embeddings=1024,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_ids=(1,),
    )


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    save_model(random_model(tiny_config(), seed=1), directory, generation=GenerationDefaults(max_tokens=20))
    for name in TOKENIZER_FILES:
        shutil.copy(MODELS / "redraft-sudoku" / name, directory)
    return directory


@pytest.fixture(scope="session")
def engine(tiny_directory):
    with redraft.load(str(tiny_directory), device="cpu", dtype="float32") as engine:
        yield engine


def _mini_config() -> ModelConfig:
    rope = {"rope_theta": 10_000.0, "rope_fraction": 1.0}
    sliding = LayerConfig(is_sliding=True, num_kv_heads=2, head_dim=8, shares_kv=False, **rope)
    full = LayerConfig(is_sliding=False, num_kv_heads=1, head_dim=16, shares_kv=True, **rope)
    return replace(
        tiny_config(),
        vocab_size=4096,
        layers=(sliding, full),
        canvas_length=32,
        max_position_embeddings=2048,
        eos_token_ids=(1, 6, 14),
    )


@pytest.fixture(scope="session")
def text_directory(tmp_path_factory) -> Path:
    """Random weights around redraft-mini's tokenizer: real token boundaries, no sense."""
    directory = tmp_path_factory.mktemp("text")
    few_steps = GenerationDefaults(max_denoising_steps=4)
    save_model(random_model(_mini_config(), seed=3), directory, generation=few_steps)
    for name in (*TOKENIZER_FILES, "chat_template.jinja"):
        shutil.copy(MODELS / "redraft-mini" / name, directory)
    return directory


@pytest.fixture(scope="session")
def text_engine(text_directory):
    with redraft.load(str(text_directory), device="cpu", dtype="float32") as engine:
        yield engine
