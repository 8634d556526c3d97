"""Denoising cross-entropy by noise proportion: how well the network does its one job, whatever the sampler."""

from collections.abc import Sequence
from typing import Any

import torch

from redraft.evaluation.metrics import by_group
from redraft.model.transformer import DiffusionTransformer

PROPORTIONS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
SETTINGS = ("without self-conditioning", "self-conditioned")


def denoising_figures(
    model: DiffusionTransformer, examples: Sequence[tuple[list[int], list[int]]], items: Sequence[Any], seed: int
) -> dict[str, Any]:
    """Per setting, group and noise proportion: nats per position of the whole canvas, end fill included.

    `examples`: ids of prompt and clean canvas of each item. Example i is noised from seed `seed + i`, each token
    replaced with the proportion's probability by a uniform id. Self-conditioned: the logits of a first pass are fed to
    a second one over the same canvas, as in training.
    """
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in SETTINGS}
    for i, (prompt, canvas) in enumerate(examples):
        pairs = _cross_entropies(model, prompt, canvas, seed + i)
        for column, name in enumerate(SETTINGS):
            rows[name].append({f"{t:g}": pair[column] for t, pair in zip(PROPORTIONS, pairs, strict=True)})
    return {name: by_group(items, own) for name, own in rows.items()}


@torch.inference_mode()
def _cross_entropies(
    model: DiffusionTransformer, prompt: Sequence[int], canvas: Sequence[int], seed: int
) -> list[tuple[float, float]]:
    """Per proportion the cross-entropy without and with self-conditioning."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.tensor([canvas])
    noise = torch.randint(model.vocab_size, clean.shape, generator=generator)
    threshold = torch.rand(clean.shape, generator=generator)  # one for all proportions: more noise adds to less
    cache = model.new_cache(1, len(prompt) + len(canvas))
    model.encode(torch.tensor([prompt], device=model.device), cache, logits=False)
    pairs = []
    for proportion in PROPORTIONS:
        noised = torch.where(threshold < proportion, noise, clean).to(model.device)
        first = model.denoise(noised, cache)
        second = model.denoise(noised, cache, self_conditioning_logits=first)
        pairs.append(tuple(_nats(logits, clean.to(model.device)) for logits in (first, second)))
    return pairs


def _nats(logits: torch.Tensor, clean: torch.Tensor) -> float:
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), clean.flatten()).item()
