"""What a run will take, before it is started: a dry run in numbers."""

from dataclasses import dataclass

from redraft.model.transformer import random_model
from redraft.training.config import RunConfig

BYTES_PER_PARAMETER = 20  # fp32 weight, gradient, average and two moments
LIVE_VALUES = 40  # fp32 values kept per row, layer and unit of width, until the backward pass


@dataclass(frozen=True)
class Estimate:
    """Of one stage; arithmetic, not a measurement."""

    parameters: int
    rows_per_update: int  # prompt once, canvas as encoded, denoised and, for half of them, predicted first
    seconds: float
    memory_bytes: int


def estimate(config: RunConfig, updates: int, flops: float) -> Estimate:
    """Time and memory of `updates` updates on a machine that sustains `flops` floating-point operations a second.

    Six operations per active parameter and row, two where there is no gradient; batch 0 stands for all.
    """
    model = random_model(config.model)
    total = sum(parameter.numel() for parameter in model.parameters())
    idle = 1 - config.model.num_experts_per_token / config.model.num_experts
    active = total - sum(int(idle * p.numel()) for name, p in model.named_parameters() if p.ndim == 3)
    groups = config.source.batch(0, config.batch_size)
    prompts = sum(group.prompt.numel() for group in groups)
    canvases = sum(group.canvas.numel() for group in groups)
    encoded = prompts + canvases * config.objective.autoregressive_on_canvas
    operations = active * (6 * (encoded + canvases) + 2 * config.objective.self_conditioning * canvases)
    rows = int(encoded + canvases * (1 + config.objective.self_conditioning))
    kept = (encoded + canvases) * 4 * (
        LIVE_VALUES * config.model.hidden_size * config.model.num_layers + 4 * config.model.vocab_size
    )  # fmt: skip
    return Estimate(total, rows, updates * operations / flops, total * BYTES_PER_PARAMETER + kept)
