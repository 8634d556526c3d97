"""Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685): attach to a model, save in PEFT's format.

Each published tensor gets factors of its own, also where several of them are one parameter here (queries, keys and
values; gate and up; all experts). A parameter with factors is computed anew wherever it is used, by torch's
parametrization, so the model's code knows nothing of adapters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from redraft.checkpoint.adapter import Adapter, Factors, is_adaptable, write_adapter
from redraft.checkpoint.names import Place, published_places
from redraft.config import ModelConfig
from redraft.errors import InvalidRequest
from redraft.kernels.suite import PLAIN
from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Tensor

# What can be adapted: a part of the published names of its tensors.
TARGETS = {
    "attention": ".self_attn.",
    "dense": ".mlp.",
    "experts": ".experts.",
    "self_conditioning": ".self_conditioning.",
}


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Updates of rank `rank`, scaled by alpha / rank, of the tensors of `targets`."""

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = tuple(TARGETS)

    def __post_init__(self):
        if self.rank < 1 or not self.alpha > 0:
            raise InvalidRequest(f"rank={self.rank}, alpha={self.alpha}: want an integer >= 1 and a number > 0")
        if not self.targets or not set(self.targets) <= TARGETS.keys():
            raise InvalidRequest(f"targets={self.targets}: want some of {', '.join(TARGETS)}")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def adapts(self, name: str) -> bool:
        """Whether a published tensor gets an update."""
        return is_adaptable(name) and any(TARGETS[target] in name for target in self.targets)


class LowRank(nn.Module):
    """A parameter plus the scaled low-rank updates of the published tensors that live in it.

    An update starts at exactly zero: B is zero, A uniform in +-1/sqrt(inputs). Factors are fp32.
    """

    def __init__(self, parameter: Tensor, places: Mapping[str, Place], lora: LoraConfig, generator: torch.Generator):
        super().__init__()
        self.scale = lora.scale
        self.places = dict(places)  # by the last part of the published name
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        for leaf, place in places.items():
            *experts, num_out, num_in = place.view(parameter).shape
            noise = torch.rand(*experts, lora.rank, num_in, generator=generator)
            self.a[leaf] = nn.Parameter(((2 * noise - 1) * num_in**-0.5).to(parameter.device))
            self.b[leaf] = nn.Parameter(torch.zeros(*experts, num_out, lora.rank, device=parameter.device))

    def forward(self, parameter: Tensor) -> Tensor:
        adapted = parameter.clone()
        for leaf, place in self.places.items():
            update = self.b[leaf] @ self.a[leaf]
            place.view(adapted).add_(update.to(adapted.dtype), alpha=self.scale)
        return adapted


def attach(model: DiffusionTransformer, lora: LoraConfig, seed: int = 0) -> None:
    """Freezes the model, puts it on plain torch and gives it factors to train; the same seed gives the same."""
    model.use(PLAIN)  # a fused layer would read the weights without their factors
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parameter_name, places in _by_parameter(model.config, lora).items():
        module_name, _, attribute = parameter_name.rpartition(".")
        module = model.get_submodule(module_name)
        leaves = {_leaf(name): place for name, place in places.items()}
        register_parametrization(module, attribute, LowRank(getattr(module, attribute), leaves, lora, generator))


def num_factors(config: ModelConfig, lora: LoraConfig) -> int:
    """How many numbers the factors of a model are."""
    with torch.device("meta"):
        parameters = dict(DiffusionTransformer(config).named_parameters())
    shapes = [
        place.view(parameters[p]).shape
        for p, places in _by_parameter(config, lora).items()
        for place in places.values()
    ]
    return sum(lora.rank * (shape[-2] + shape[-1]) * math.prod(shape[:-2]) for shape in shapes)


def save(
    config: ModelConfig, lora: LoraConfig, values: Mapping[str, Tensor], directory: str | Path, base: str | None
) -> Path:
    """The directory, with an adapter in PEFT's format; `values` are parameters of a model that factors are attached to.

    `base` names the model that the adapter was trained on.
    """
    factors = {}
    for parameter_name, places in _by_parameter(config, lora).items():
        module_name, _, attribute = parameter_name.rpartition(".")
        prefix = f"{module_name}.parametrizations.{attribute}.0."
        for name in places:
            factors[name] = Factors(*(values[f"{prefix}{side}.{_leaf(name)}"] for side in "ab"))
    return write_adapter(directory, Adapter(factors, lora.rank, lora.scale), base)


def _by_parameter(config: ModelConfig, lora: LoraConfig) -> dict[str, dict[str, Place]]:
    """Our parameters with the published tensors in them that are adapted."""
    found: dict[str, dict[str, Place]] = {}
    for name, place in published_places(config).items():
        if lora.adapts(name):
            found.setdefault(place.parameter, {})[name] = place
    return found


def _leaf(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]
