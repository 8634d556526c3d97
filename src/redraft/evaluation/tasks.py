"""What is graded: a task makes items from a seed, says in which ways they are put, and grades each reply."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from redraft.config import SamplingParams
from redraft.engine.engine import Engine
from redraft.evaluation.metrics import Grade
from redraft.reply import Reply


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question: its prompt, the answer wanted, and the bucket it is counted in."""

    prompt: str
    answer: str
    bucket: str
    level: int | None = None  # place on the task's curve, where it has one


def generated(engine: Engine, item: Item, params: SamplingParams) -> Reply:
    """The reply to an item's prompt."""
    return engine.generate(item.prompt, params)


@dataclass(frozen=True)
class Setting:
    """One way to put the items of a task."""

    params: SamplingParams
    ask: Callable[[Engine, Any, SamplingParams], Reply] = generated


class Task(Protocol):
    """What `evaluate` runs."""

    level: ClassVar[str | None]  # what the levels of its items count; None where they have none

    @property
    def name(self) -> str: ...

    def items(self, count: int, seed: int) -> list[Any]:
        """`count` items of each kind, the same for the same arguments."""
        ...

    def settings(self, params: SamplingParams) -> Mapping[str, Setting]:
        """The ways to put them, by name; `params` is the one that is meant for use."""
        ...

    def grade(self, item: Any, reply: Reply) -> dict[str, Grade]:
        """What the reply to an item deserves, by name; the task's main grade first."""
        ...

    def clean(self, engine: Engine, item: Any) -> tuple[list[int], list[int]]:
        """Ids of an item's prompt and of the canvas that answers it, end fill included."""
        ...


def clean_canvas(engine: Engine, ids: list[int]) -> list[int]:
    """The first canvas of a reply of these ids: the end token fills what they leave."""
    end_id = engine.intake.end_ids(SamplingParams())[0]
    length = engine.model.canvas_length
    return (ids + [end_id] * length)[:length]


def left_to_right(params: SamplingParams) -> SamplingParams:
    """The same request to the same weights, one token after another; what only denoising knows is left out."""
    kept = ("max_tokens", "min_tokens", "temperature", "top_k", "top_p", "logit_bias", "stop", "stop_token_ids")
    return replace(
        SamplingParams(decoding="autoregressive"), **{name: getattr(params, name) for name in (*kept, "ignore_eos")}
    )


def steps_per_canvas(reply: Reply) -> float | None:
    """Denoising steps that a canvas of the reply took; None for one written left to right."""
    return reply.usage.denoising_steps / reply.usage.canvases if reply.usage.canvases else None
