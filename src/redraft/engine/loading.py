"""A name, directory or hub id -> an engine on the right device in the right precision."""

import torch

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
) -> Engine:
    """An engine for a shipped model, a local directory, or a hub id with an optional @revision.

    dtype auto is float32 on CPU and bfloat16 on CUDA. `max_context` bounds prompt plus whole canvases, in tokens;
    `cache_memory` bounds the KV cache of all running requests, in bytes. kernels "auto" is "native" on a CPU where they
    can be built (`redraft check` says), else "torch". Raises LoadError or InvalidRequest.
    """
    config = EngineConfig(
        device=device,
        dtype=dtype,
        max_batch=max_batch,
        max_context=max_context,
        cache_memory=cache_memory,
        kernels=kernels,
    )
    if adapter is not None:
        raise InvalidRequest(f"adapter={adapter!r}: adapters are not supported yet, leave it out")
    place = _device(config.device)
    precision = config.dtype if config.dtype != "auto" else ("bfloat16" if place.type == "cuda" else "float32")
    path = resolve(model)
    network = load_model(str(path), device=str(place), dtype=precision, kernels=config.kernels)
    return Engine(network, path, name=model, config=config)


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
