"""Denoises many canvases with equal prompt lengths at once: what training is watched with.

The default rules of `generate_plain`, vectorised over requests, drawn from one torch.Generator; so its tokens are not
an engine's, only their distribution is.
"""

from dataclasses import dataclass
from typing import Any

import torch

from redraft.config import GenerationDefaults, SamplingParams
from redraft.diffusion.schedule import LinearTemperature, noise_proportion
from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Bool, Float, Int, Tensor


@dataclass(frozen=True)
class Denoised:
    """One canvas per request."""

    best: Int[Tensor, "B C"]  # what would be committed
    steps: Int[Tensor, "B"]  # denoising steps taken
    converged: Bool[Tensor, "B"]  # ended by the stop rule
    revoked: Int[Tensor, "B"]  # positions accepted at some step with a token that is not the committed one


@torch.inference_mode()
def denoise_many(
    model: DiffusionTransformer, prompts: Int[Tensor, "B P"], params: SamplingParams, generator: torch.Generator
) -> Denoised:
    """One finished canvas per prompt. `params`: the diffusion fields count, the rest must be unset."""
    limits: Any = params.resolved(GenerationDefaults(), min_tokens=0)
    B, C, V = prompts.shape[0], model.canvas_length, model.vocab_size
    cache = model.new_cache(B, prompts.shape[1] + C)
    model.encode(prompts, cache, logits=False)
    canvas = torch.randint(V, (B, C), generator=generator)
    best = torch.full((B, C), -1)
    stable, steps = torch.zeros(B, dtype=torch.long), torch.zeros(B, dtype=torch.long)
    is_done = torch.zeros(B, dtype=torch.bool)
    accepted_as = torch.zeros(B, C, V, dtype=torch.bool)
    schedule = LinearTemperature(limits.t_min, limits.t_max)
    signal = None
    for step in range(limits.max_denoising_steps):
        temperature = schedule(noise_proportion(step, limits.max_denoising_steps))
        tempered = model.denoise(canvas, cache, signal) / temperature
        log_p = tempered.log_softmax(-1)
        entropy = -(log_p.exp() * log_p).sum(-1)
        sample = torch.multinomial(log_p.exp().flatten(0, 1), 1, generator=generator).view(B, C)
        accepted = _within_bound(entropy, limits.entropy_bound) & ~is_done[:, None]
        accepted_as |= accepted[:, :, None] & torch.nn.functional.one_hot(sample, V).bool()
        canvas = torch.where(accepted, sample, torch.randint(V, (B, C), generator=generator))
        found = torch.where(is_done[:, None], best, tempered.argmax(-1))
        stable = torch.where((found == best).all(1), stable + 1, 0)
        best, signal = found, tempered
        steps += ~is_done
        is_done |= (stable >= limits.stability_threshold) & (entropy.mean(1) < limits.confidence_threshold)
        if is_done.all():
            break
    revoked = (accepted_as & ~torch.nn.functional.one_hot(best, V).bool()).any(-1).sum(-1)
    return Denoised(best, steps, is_done, revoked)


def _within_bound(entropy: Float[Tensor, "B C"], bound: float) -> Bool[Tensor, "B C"]:
    """Entropy-bound acceptance, row by row."""
    ranked, order = entropy.sort(dim=1, stable=True)
    return torch.empty_like(order, dtype=torch.bool).scatter_(1, order, ranked.cumsum(1) - ranked <= bound)
