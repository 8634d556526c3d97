"""A name, directory or hub id -> an engine on the right device in the right precision."""

from pathlib import Path

import torch

from redraft.checkpoint.adapter import ADAPTER_FILES, merge_adapter
from redraft.checkpoint.fetch import resolve
from redraft.checkpoint.load import load_model
from redraft.config import EngineConfig
from redraft.engine.engine import Engine
from redraft.errors import InvalidRequest, LoadError


def load(
    model: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    adapter: str | None = None,
    max_batch: int = 8,
    max_context: int | None = None,
    cache_memory: int | None = None,
    kernels: str = "auto",
    prefill_chunks: int | None = None,
    fold_commits: bool | None = None,
) -> Engine:
    """An engine for a shipped model, a local directory, or a hub id with an optional @revision.

    dtype auto is float32 on CPU and bfloat16 on CUDA. `max_context` bounds prompt plus whole canvases, in tokens;
    `cache_memory` bounds the KV cache of all running requests, in bytes. `adapter` is a LoRA adapter in PEFT's format
    (directory or hub id), added to the weights as they are loaded. kernels "auto" is "native" on a CPU where they can
    be built (`redraft check` says), else "torch". `prefill_chunks` of 256 tokens of one prompt go into an engine step;
    `fold_commits` appends a canvas in the pass that starts the next one. Neither changes a text. Raises LoadError or
    InvalidRequest.
    """
    config = EngineConfig(
        device=device,
        dtype=dtype,
        max_batch=max_batch,
        max_context=max_context,
        cache_memory=cache_memory,
        kernels=kernels,
        prefill_chunks=prefill_chunks,
        fold_commits=fold_commits,
    )
    place = _device(config.device)
    precision = config.dtype if config.dtype != "auto" else ("bfloat16" if place.type == "cuda" else "float32")
    path = resolve(model)
    network = load_model(str(path), device=str(place), dtype=precision, kernels=config.kernels)
    if adapter is not None:
        merge_adapter(network, _adapter_directory(adapter))
    return Engine(network, path, name=model, config=config)


def _adapter_directory(adapter: str) -> Path:
    try:
        return resolve(adapter, ADAPTER_FILES)
    except LoadError as error:
        raise LoadError(f"adapter={adapter!r}: {error}") from error


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidRequest(f"device={name!r}: want 'auto', 'cpu' or 'cuda'") from error
    if device.type not in ("cpu", "cuda"):
        raise InvalidRequest(f"device={name!r}: not tested yet, want 'auto', 'cpu' or 'cuda'")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise LoadError(f"device={name!r}: this machine has no CUDA device that torch can use, want 'cpu'")
    return device
