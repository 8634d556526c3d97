"""Forms: a note and an empty form (or schema) in, a JSON object out; graded field by field against the facts."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch

from redraft.config import SamplingParams
from redraft.constraints.spec import JSONSchema
from redraft.engine.engine import Engine
from redraft.evaluation.metrics import mean, rate
from redraft.evaluation.tasks import Item
from redraft.model.transformer import DiffusionTransformer
from redraft.reply import Reply
from redraft.training.data import BatchSource, Group
from redraft.training.notes import Form, forms

BUCKETS = {
    "known templates, known words": ("train", "train"),
    "known templates, new words": ("train", "held_out"),
    "new templates, new words": ("held_out", "held_out"),
    "new phrasing, new words": ("unseen", "held_out"),
}
EVALUATION_SEED = 1_000_000  # above every training seed, so that no note of training comes again


@dataclass(frozen=True)
class FormsTask:
    """Notes that training never saw, in buckets by what else is new about them; style "form" or "schema"."""

    style: str = "form"
    name: str = "forms"

    def items(self, count: int, seed: int) -> list[Item]:
        """`count` items per bucket."""
        return [
            Item(form.prompt(self.style), form.text, bucket)
            for bucket, (templates, words) in BUCKETS.items()
            for form in islice(_fitting(EVALUATION_SEED + seed, templates, words), count)
        ]

    def summary(self, items: Sequence[Item], replies: Sequence[Reply]) -> dict[str, Any]:
        """Fields exactly right, whole objects right, replies that parse, denoising steps."""
        graded = [grade(item.answer, reply.text) for item, reply in zip(items, replies, strict=True)]
        return {
            "fields_right": rate(right for fields, _ in graded for right in fields),
            "objects_right": rate(all(fields) for fields, _ in graded),
            "parses": rate(parses for _, parses in graded),
            "denoising_steps": mean(reply.usage.denoising_steps for reply in replies),
            "seconds": mean(reply.usage.seconds for reply in replies),
        }


def grade(wanted: str, text: str) -> tuple[list[bool], bool]:
    """Per wanted field whether the reply has exactly its value, and whether the reply is a JSON object at all."""
    fields = json.loads(wanted)
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return [False] * len(fields), False
    return [key in found and found[key] == value for key, value in fields.items()], True


def schema_of(answer: str) -> dict[str, Any]:
    """The schema a caller would write for an answer: its keys in order, all required, text or integer."""
    kinds = {
        key: {"type": "integer" if isinstance(value, int) else "string"} for key, value in json.loads(answer).items()
    }
    return {"type": "object", "properties": kinds, "required": list(kinds), "additionalProperties": False}


def constrained_figures(
    engine: Engine, task: FormsTask, params: SamplingParams, count: int, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Figures by bucket with every reply constrained to its own schema; item i is sampled with seed `seed + i`."""
    items = task.items(count, seed)
    each = [
        replace(params, seed=seed + i, constraint=JSONSchema(schema_of(item.answer))) for i, item in enumerate(items)
    ]
    replies = engine.generate([item.prompt for item in items], each)
    figures = {}
    for bucket in BUCKETS:
        rows = [i for i, item in enumerate(items) if item.bucket == bucket]
        figures[bucket] = task.summary([items[i] for i in rows], [replies[i] for i in rows])
    return figures


@torch.inference_mode()
def denoising_cross_entropy(
    model: DiffusionTransformer, source: BatchSource, proportions: Sequence[float], count: int, seed: int = 0
) -> dict[str, float]:
    """Nats per canvas position, by noise proportion, over `count` examples, without self-conditioning."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{proportion:g}": mean(
            _cross_entropy(model, group, proportion, generator) for group in source.batch(0, count)
        ) or 0.0
        for proportion in proportions
    }  # fmt: skip


def _cross_entropy(model: DiffusionTransformer, group: Group, proportion: float, generator: torch.Generator) -> float:
    noise = torch.randint(model.vocab_size, group.canvas.shape, generator=generator)
    is_noised = torch.rand(group.canvas.shape, generator=generator) < proportion
    cache = model.new_cache(len(group), group.prompt.shape[1] + group.canvas.shape[1])
    model.encode(group.prompt, cache, logits=False)
    logits = model.denoise(torch.where(is_noised, noise, group.canvas), cache)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), group.canvas.flatten()).item()


def _fitting(seed: int, templates: str, words: str) -> Iterator[Form]:
    """Forms as long as training has them: replies of up to some 48 tokens."""
    return (form for form in forms(seed, templates, words) if len(form.text) <= 110)
