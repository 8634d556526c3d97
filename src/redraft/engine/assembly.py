"""The parts of an engine, made for one model as a config says."""

from redraft.cache.pages import PageManager
from redraft.cache.pool import PAGE_SIZE, PagePool, PoolSize, default_memory
from redraft.config import PREFILL_CHUNK, EngineConfig
from redraft.engine.families import Autoregressive, BlockDiffusion, Reading
from redraft.engine.model_state import ModelFamily
from redraft.model.transformer import DiffusionTransformer


def shipped_families(model: DiffusionTransformer, config: EngineConfig) -> dict[str, ModelFamily]:
    """The ways of making text, by the name `Request.family` gives."""
    is_cuda = model.device.type == "cuda"
    chunks = _prefill_chunks(model, config)
    folds = is_cuda if config.fold_commits is None else config.fold_commits
    return {
        "diffusion": BlockDiffusion(model, chunks, folds),
        "reading": Reading(model, chunks),
        "autoregressive": Autoregressive(model, chunks),
    }


def _prefill_chunks(model: DiffusionTransformer, config: EngineConfig) -> int:
    return config.prefill_chunks or (4 if model.device.type == "cuda" else 1)


def page_pool(model: DiffusionTransformer, config: EngineConfig, max_context: int) -> PagePool:
    """The KV cache of all requests, in the memory the config allows."""
    shape, itemsize = model.config, model.dtype.itemsize
    max_rows = max(_prefill_chunks(model, config) * PREFILL_CHUNK, 2 * shape.canvas_length)
    num_bytes = config.cache_memory or default_memory(model.device)
    size = PoolSize.within(shape, num_bytes, itemsize, max_context, config.max_batch, max_rows)
    manager = PageManager(
        num_full=size.full,
        num_sliding=size.sliding,
        page_size=PAGE_SIZE,
        window=shape.sliding_window,
        chunk=PREFILL_CHUNK,
        max_rows=max_rows,
    )
    return PagePool(shape, manager, model.device, model.dtype)
