"""Forms: a note and an empty form (or schema) in, a JSON object out; graded field by field against the facts."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar

from redraft.config import SamplingParams
from redraft.constraints.spec import JSONSchema
from redraft.engine.engine import Engine
from redraft.evaluation.metrics import Grade
from redraft.evaluation.tasks import Item, Setting, clean_canvas, left_to_right, steps_per_canvas
from redraft.reply import Reply
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
    level: ClassVar[str | None] = None

    @property
    def name(self) -> str:
        """The style is part of it."""
        return "forms" if self.style == "form" else f"forms by {self.style}"

    def items(self, count: int, seed: int) -> list[Item]:
        """`count` items per bucket."""
        return [
            Item(prompt=form.prompt(self.style), answer=form.text, bucket=bucket)
            for bucket, (templates, words) in BUCKETS.items()
            for form in islice(_fitting(EVALUATION_SEED + seed, templates, words), count)
        ]

    def settings(self, params: SamplingParams) -> dict[str, Setting]:
        """Free, under the schema of the answer, and left to right by the same weights."""
        return {
            "free": Setting(params),
            "constrained": Setting(params, constrained),
            "left to right": Setting(left_to_right(params)),
        }

    def grade(self, item: Item, reply: Reply) -> dict[str, Grade]:
        """Fields exactly right, whole objects right, replies that are a JSON object."""
        fields, parses = grade(item.answer, reply.text)
        return {
            "fields_right": fields,
            "objects_right": all(fields),
            "parses": parses,
            "steps_per_canvas": steps_per_canvas(reply),
        }

    def clean(self, engine: Engine, item: Item) -> tuple[list[int], list[int]]:
        """Ids of note and form, and of the object."""
        canvas = clean_canvas(engine, engine.tokenizer.encode_plain(item.answer))
        return engine.tokenizer.encode_prompt(item.prompt), canvas


def constrained(engine: Engine, item: Item, params: SamplingParams) -> Reply:
    """The reply to an item's prompt, held to the schema of its answer."""
    return engine.generate(item.prompt, replace(params, constraint=JSONSchema(schema_of(item.answer))))


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


def _fitting(seed: int, templates: str, words: str) -> Iterator[Form]:
    """Forms as long as training has them: replies of up to some 48 tokens."""
    return (form for form in forms(seed, templates, words) if len(form.text) <= 110)
