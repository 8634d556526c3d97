"""What a run will take, before it is started: a dry run in numbers."""

import os
import time
from dataclasses import dataclass, replace

import torch

from redraft.model.transformer import DiffusionTransformer
from redraft.training.config import RunConfig
from redraft.training.lora import num_factors
from redraft.training.metrics import duration
from redraft.training.objective import training_loss
from redraft.training.trainer import first_model

# Kept for the backward pass, in fp32 values per row (counted with saved_tensors_hooks on the models of recipes.py):
LAYER_VALUES = 38  # per layer and unit of width
INPUT_VALUES = 2  # the same where layers run again in the backward pass
HEAD_VALUES = 2  # per id of the vocabulary
GPU_RATE = 2e14  # operations per second; an assumption, not a measurement
TRAINED_BYTES = 20  # fp32 weight, gradient, average and two moments


@dataclass(frozen=True)
class Plan:
    """Of one run; arithmetic, not a measurement."""

    parameters: int
    trained: int
    updates: int | None  # None: no end
    examples: int  # per update
    tokens: int  # per update, of prompts and canvases
    operations: float  # floating point, per update
    weight_bytes: int  # with gradients, average and optimiser
    activation_bytes: int

    @property
    def memory_bytes(self) -> int:
        return self.weight_bytes + self.activation_bytes


def make_plan(config: RunConfig) -> Plan:
    """What a run takes, read off its first batch.

    Six operations per active parameter and row, four where the parameter stays as it is, two where there is no
    gradient. Prompts are encoded once, canvases denoised, encoded where that is trained, and in part predicted first.
    """
    with torch.device("meta"):
        model = DiffusionTransformer(config.model)
    total = sum(parameter.numel() for parameter in model.parameters())
    idle = 1 - config.model.num_experts_per_token / config.model.num_experts
    active = total - sum(int(idle * p.numel()) for p in model.parameters() if p.ndim == 3)
    trained = total if config.lora is None else num_factors(config.model, config.lora)
    groups = config.source.batch(0, config.batch_size)
    prompts, canvases = (sum(getattr(group, name).numel() for group in groups) for name in ("prompt", "canvas"))
    rows = prompts + canvases * (1 + config.objective.autoregressive_on_canvas)
    operations = active * ((6 if config.lora is None else 4) * rows + 2 * config.objective.self_conditioning * canvases)
    stored = 0 if config.lora is None else total * config.precision.itemsize
    return Plan(
        parameters=total,
        trained=trained,
        updates=config.last_update,
        examples=config.batch_size * config.accumulate,
        tokens=(prompts + canvases) * config.accumulate,
        operations=operations * config.accumulate,
        weight_bytes=stored + trained * TRAINED_BYTES,
        activation_bytes=4 * rows * _values_per_row(config),
    )


def _values_per_row(config: RunConfig) -> int:
    model = config.model
    layers = INPUT_VALUES * model.num_layers + LAYER_VALUES if config.recompute else LAYER_VALUES * model.num_layers
    return layers * model.hidden_size + HEAD_VALUES * model.vocab_size


def describe(config: RunConfig) -> list[str]:
    """The plan of a run in words, with the time it would take here where it fits into this machine's memory."""
    plan = make_plan(config)
    length = "without end" if plan.updates is None else f"{plan.updates:,} updates"
    counted, per = (1_000, " per 1,000 updates") if plan.updates is None else (plan.updates, "")
    operations = counted * plan.operations
    lines = [
        f"{config.name}: {plan.parameters / 1e6:,.1f} M parameters, {plan.trained / 1e6:,.2f} M of them trained"
        if config.lora is None
        else f"{config.name}: {plan.parameters / 1e6:,.1f} M parameters, an adapter of {plan.trained / 1e6:,.2f} M",
        f"length: {length} of {plan.examples:,} examples, {plan.tokens:,} tokens each",
        f"memory: {_size(plan.memory_bytes)}, of it {_size(plan.weight_bytes)} for weights, gradients, average and "
        f"optimiser, {_size(plan.activation_bytes)} for activations",
        f"time: {operations:.1e} operations{per}; {duration(operations / GPU_RATE)} at {GPU_RATE / 1e12:.0f} TFLOP/s, "
        "a fifth of an H200's bf16 peak",
    ]
    rate = measure_rate(config) if plan.memory_bytes < _free_bytes(config.place) else None
    if rate is None:
        return [*lines, f"here: does not fit, {_size(_free_bytes(config.place))} of memory are free"]
    seconds = counted * plan.examples / rate
    return [
        *lines,
        f"here ({config.place.type}, measured on a few examples): {rate:.1f} examples/s, {duration(seconds)}{per}",
    ]


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:,.0f} MiB"


def measure_rate(config: RunConfig, most: int = 32) -> float:
    """Examples per second of this machine: forward and backward of two batches of at most so many, the second timed."""
    examples = min(most, config.batch_size)
    small = replace(config, batch_size=examples)
    model = first_model(small)
    for index in range(2):
        started = time.perf_counter()
        groups = small.source.batch(index, examples)
        with torch.autocast(small.place.type, small.precision, enabled=small.precision != torch.float32):
            loss = training_loss(model, groups, small.objective, torch.Generator().manual_seed(index))
        loss.total.backward()
        loss.total.item()  # waits for the device
    return examples / (time.perf_counter() - started)
