"""LoRA adapters in PEFT's format: adapter_config.json and adapter_model.safetensors.

PEFT wraps transformers' modules, where the layers of encoder and decoder are two trees that share their weights: an
adapter holds the factors of every layer twice, equal. Experts are parameters, not modules: PEFT stacks the factors of
all experts, and nests the wrappers of one module's parameters, gate and up (`experts.base_layer`) inside down
(`experts`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from redraft.checkpoint.names import published_places
from redraft.checkpoint.reader import read_json
from redraft.errors import LoadError
from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Float, Tensor

ADAPTER_FILES = CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
_EXPERTS = ("experts.gate_up_proj", "experts.down_proj")  # in the order PEFT nests them, inner first
_DECODER, _ENCODER = "model.decoder.layers.", "model.encoder.language_model.layers."
_PREFIX = "base_model.model."
# Keys of PEFT's config that are read here, or that change nothing about what a trained adapter computes.
_UNDERSTOOD = {
    "r", "lora_alpha", "use_rslora", "target_parameters", "target_modules", "exclude_modules", "layers_to_transform",
    "layers_pattern", "peft_type", "peft_version", "task_type", "auto_mapping", "base_model_name_or_path", "revision",
    "inference_mode", "lora_dropout", "megatron_core", "qalora_group_size", "ensure_weight_tying", "bias",
    "init_lora_weights",
}  # fmt: skip


class Factors(NamedTuple):
    """The update of one published tensor: `b @ a` times the adapter's scale; experts have a leading axis."""

    a: Float[Tensor, "*E r In"]
    b: Float[Tensor, "*E Out r"]


@dataclass(frozen=True)
class Adapter:
    """Low-rank updates by published tensor name."""

    factors: Mapping[str, Factors]
    rank: int
    scale: float


def is_adaptable(name: str) -> bool:
    """Whether a published tensor is one that PEFT can adapt here: a projection or the experts' weights."""
    return name.endswith(("_proj.weight", ".router.proj.weight", *_EXPERTS))


def write_adapter(directory: str | Path, adapter: Adapter, base: str | None) -> Path:
    """The directory, with the adapter in it as PEFT reads it; `base` names the model it was trained on."""
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    experts = [part for part in _EXPERTS if any(name.endswith(part) for name in adapter.factors)]
    tensors = {}
    for name, (a, b) in adapter.factors.items():
        if a.ndim == 3:  # [E r, in] and [out, r E], the expert running fastest
            a, b = a.flatten(0, 1), b.permute(1, 2, 0).flatten(1)
        for module in _modules(name, experts):
            tensors[f"{_PREFIX}{module}.lora_A.weight"] = a.detach().cpu().clone()
            tensors[f"{_PREFIX}{module}.lora_B.weight"] = b.detach().cpu().clone()
    modules = [module for name in adapter.factors if not name.endswith(_EXPERTS) for module in _modules(name, experts)]
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": adapter.rank,
        "lora_alpha": adapter.scale * adapter.rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": "|".join(sorted({_pattern(module) for module in modules})) or [],
        "target_parameters": experts or None,
        "inference_mode": True,
        "task_type": None,
    }
    save_file(tensors, path / WEIGHTS_FILE, metadata={"format": "pt"})
    (path / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path


def read_adapter(directory: Path) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    """The config and tensors of an adapter, unread; LoadError names a key that asks for more than plain LoRA."""
    path = directory / CONFIG_FILE
    values = read_json(path)
    wanted = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, False, "gaussian")}
    for key, value in values.items():
        if key in wanted and value not in wanted[key]:
            raise LoadError(f"{path}: {key} is {value!r}: want one of {', '.join(map(repr, wanted[key]))}")
        if key not in _UNDERSTOOD and value:
            raise LoadError(f"{path}: {key} is {value!r}: this is not supported, want plain LoRA")
    for key, kinds in (("r", int), ("lora_alpha", int | float)):
        if not isinstance(values.get(key), kinds) or not values[key] > 0:
            raise LoadError(f"{path}: {key} is {values.get(key)!r}: want a number > 0")
    file = directory / WEIGHTS_FILE
    try:
        return values, load_file(file)
    except (SafetensorError, OSError) as error:
        raise LoadError(f"{file} cannot be read, it may be missing or truncated: {error}") from error


def merge_adapter(model: DiffusionTransformer, directory: Path) -> None:
    """Adds the updates of a PEFT adapter to the model's weights, in place, each product made in fp32.

    Raises LoadError where a tensor fits nothing, or where the adapter changes encoder and decoder differently: here
    both roles are one set of weights.
    """
    values, tensors = read_adapter(directory)
    left = dict(tensors)
    leaves = {str(name).rpartition(".")[2] for name in values.get("target_parameters") or ()}
    experts = [part for part in _EXPERTS if part.rpartition(".")[2] in leaves]
    scale = values["lora_alpha"] / (values["r"] ** 0.5 if values.get("use_rslora") else values["r"])
    parameters = dict(model.named_parameters())
    for name, place in published_places(model.config).items():
        modules = _modules(name, experts)
        if not is_adaptable(name) or not any(f"{_PREFIX}{module}.lora_A.weight" in left for module in modules):
            continue
        target = place.view(parameters[place.parameter].detach())
        delta = _product(*_factors(left, modules, directory), target.shape)
        if delta is None:
            raise LoadError(f"{directory}: the factors of {name} make no update of shape {list(target.shape)}")
        target.add_(delta.to(target.device), alpha=scale)
    if left:
        raise LoadError(f"{directory}: {len(left)} tensors fit nothing here, the first of them {min(left)!r}")


def _factors(left: dict[str, Tensor], modules: Sequence[str], directory: Path) -> tuple[Tensor, Tensor]:
    """The factors of one tensor, taken out of `left`: the same under every name it has in transformers."""
    pairs = [[left.pop(f"{_PREFIX}{module}.lora_{side}.weight", None) for side in "AB"] for module in modules]
    a, b = pairs[0]
    if (
        a is None
        or b is None
        or not all(x is not None and torch.equal(x, y) for x, y in zip(pairs[-1], (a, b), strict=True))
    ):
        raise LoadError(
            f"{directory}: want equal factors A and B in {' and '.join(modules)}; encoder and decoder share their "
            "weights here, an update of one alone cannot be applied"
        )
    return a, b


def _product(a: Tensor, b: Tensor, shape: Sequence[int]) -> Tensor | None:
    """b @ a in fp32, from PEFT's layout; None where it has not this shape."""
    if len(shape) == 3:
        E = shape[0]
        if a.shape[0] % E or b.shape[1] % E:
            return None
        a, b = a.view(E, -1, a.shape[1]), b.view(b.shape[0], -1, E).permute(2, 0, 1)
    if a.shape[-2] != b.shape[-1]:
        return None
    delta = b.float() @ a.float()
    return delta if delta.shape == shape else None


def _modules(name: str, experts: Sequence[str]) -> tuple[str, ...]:
    """Where PEFT wraps a published tensor: in the decoder and, for layers, in the encoder that shares it."""
    module = name.removesuffix(".weight")
    for place, part in enumerate(reversed(experts)):
        if module.endswith(part):
            module = module.removesuffix(part) + "experts" + ".base_layer" * place
    return (module, module.replace(_DECODER, _ENCODER)) if name.startswith(_DECODER) else (module,)


def _pattern(module: str) -> str:
    return re.sub(r"\\\.\d+\\\.", r"\\.\\d+\\.", re.escape(module))
