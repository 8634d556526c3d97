"""Writes a model as transformers loads it unchanged: config.json, generation_config.json and safetensors."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from redraft.checkpoint.config import (
    IMAGE_ID_KEYS,
    OWN_FILE,
    write_config,
    write_generation_defaults,
    write_own_defaults,
)
from redraft.checkpoint.load import INDEX_FILE, SINGLE_FILE, weight_files
from redraft.checkpoint.names import VISION_PREFIXES, published_places
from redraft.checkpoint.reader import read_json
from redraft.config import GenerationDefaults
from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Tensor

# transformers builds an image tower with 167 M random parameters where a checkpoint has none, so a model made from
# scratch carries the smallest one.
_TINY_VISION = {
    "model_type": "gemma4_vision",
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "patch_size": 4,
    "position_embedding_size": 16,
}


def save_model(
    model: DiffusionTransformer,
    directory: str | os.PathLike[str],
    *,
    generation: GenerationDefaults | None = None,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = 5 * 2**30,
    source: Path | None = None,
) -> Path:
    """The directory, with the model in the published layout in it (tokenizer files are the caller's).

    dtype: stored dtype, None for the model's own. max_shard_bytes: weights are split in files of at most this size,
    unless one tensor is larger. source: a checkpoint whose image tower is kept; None writes a tiny random one, because
    transformers insists on one. Files of an earlier save are replaced; the weights are complete before config.json is.
    """
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    dtype = dtype or model.dtype
    values = write_config(model.config, str(dtype).removeprefix("torch."), _TINY_VISION)
    if source is not None:
        original = read_json(source / "config.json")
        values |= {key: original[key] for key in (*IMAGE_ID_KEYS, "vision_config") if key in original}
    for stale in (*path.glob("model*.safetensors"), path / INDEX_FILE, path / "config.json", path / OWN_FILE):
        stale.unlink(missing_ok=True)
    _write_weights(path, _tensors(model, dtype, source), max_shard_bytes)
    defaults = generation or GenerationDefaults()
    _write_json(path / "generation_config.json", write_generation_defaults(defaults, model.config))
    if own := write_own_defaults(defaults):
        _write_json(path / OWN_FILE, own)
    _write_json(path / "config.json", values)
    return path


def _tensors(model: DiffusionTransformer, dtype: torch.dtype, source: Path | None) -> Iterator[tuple[str, Tensor]]:
    """Published names with their tensors on the CPU, made one at a time."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    for name, place in published_places(model.config).items():
        yield name, place.view(parameters[place.parameter]).to("cpu", dtype).contiguous().clone()
    if source is None:
        yield from ((name, tensor.to(dtype)) for name, tensor in _tiny_vision(model.config.hidden_size))
        return
    for file in weight_files(source):
        with safe_open(file, framework="pt", device="cpu") as opened:
            for name in opened.keys():  # noqa: SIM118 (no mapping: it cannot be iterated)
                if name.startswith(VISION_PREFIXES):
                    yield name, opened.get_tensor(name)


def _tiny_vision(text_size: int) -> Iterator[tuple[str, Tensor]]:
    """The smallest image tower, with weights nobody uses."""
    size, layer = _TINY_VISION["hidden_size"], "encoder.layers.0."
    norms = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    products = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embedder.input_proj.weight": (size, 3 * _TINY_VISION["patch_size"] ** 2),
        "patch_embedder.position_embedding_table": (2, _TINY_VISION["position_embedding_size"], size),
        **{f"{layer}{name}.linear.weight": (size, size) for name in products},
        **{f"{layer}{name}.weight": (size,) for name in norms},
        **{f"{layer}self_attn.{name}_norm.weight": (size,) for name in "qk"},
    }
    generator = torch.Generator().manual_seed(0)
    tower, projection = VISION_PREFIXES
    for name, shape in shapes.items():
        tensor = torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) * size**-0.5
        yield tower + name, tensor
    yield f"{projection}embedding_projection.weight", torch.randn(text_size, size, generator=generator) * size**-0.5


def _write_weights(path: Path, tensors: Iterator[tuple[str, Tensor]], max_shard_bytes: int) -> None:
    """Weight files, one shard in memory at a time; a single one is named as such, several get an index."""
    shards: list[list[str]] = []
    total = 0
    for shard in _shards(tensors, max_shard_bytes):
        save_file(shard, path / f"model.{len(shards)}.tmp", metadata={"format": "pt"})
        shards.append(list(shard))
        total += sum(tensor.nbytes for tensor in shard.values())
    names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    if len(shards) == 1:
        names = [SINGLE_FILE]
    for index, name in enumerate(names):
        os.replace(path / f"model.{index}.tmp", path / name)
    if len(shards) > 1:
        weight_map = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        _write_json(path / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _shards(tensors: Iterator[tuple[str, Tensor]], max_shard_bytes: int) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        if shard and size + tensor.nbytes > max_shard_bytes:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += tensor.nbytes
    yield shard


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
