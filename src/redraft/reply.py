"""What a request gives back: events while it runs, a reply at its end. Frozen records, no torch.

The same records go into traces and over HTTP, under the same names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a reply cost. Prefill is not a forward pass here; a commit folded into a denoising step counts none."""

    prompt_tokens: int
    completion_tokens: int
    canvases: int
    denoising_steps: int
    forward_passes: int  # denoising steps + commits
    tokens_per_forward: float
    converged: tuple[bool, ...]  # one per canvas: stopped by the stop rule, not by the step limit
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """The log-probability of one committed id at the step that decided it, and the k best ids there (nats)."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A tool the model asked for: its name and its arguments as a JSON object."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The canvas after one denoising step. Counts from 0."""

    canvas_index: int
    denoising_step: int
    token_ids: tuple[int, ...]  # the whole best canvas
    text: str  # cut at the first stop id
    changed: tuple[tuple[int, str, float], ...]  # (position, text, probability) where the best id changed
    accepted: tuple[int, ...]  # positions accepted at this step
    mean_entropy: float  # nats
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A finished stretch of the reply; it will not change any more."""

    token_ids: tuple[int, ...]
    text: str
    channel: str = "answer"  # "answer" | "reasoning"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A finished request. Fields that do not apply are None or empty."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: str  # "stop" | "length"
    seed: int
    usage: Usage
    model: str  # name, device, dtype and maker of Prediction: what a seed is fixed for
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    holes: Mapping[str, str] | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None = None
    trace: Any = None
    constraint: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An answer to a typed question, with what the model gave each label. Not calibrated."""

    kind: str  # "predicate" | "choice" | "score"
    label: str  # the most probable one: yes or no, a choice's label, a score's level from "0"
    probabilities: Mapping[str, float]  # of the labels among themselves; they sum to 1
    confidence: float  # 1 - entropy / log(number of labels): 0 flat, 1 certain
    mass: float  # probability that an unconstrained answer would have been any of the labels
    reads: int  # denoising passes averaged
    spread: float  # largest difference between reads in any label's probability
    calibrated: bool = False


@dataclass(frozen=True, kw_only=True)
class Finish:
    """The last event of a stream."""

    reply: Reply
