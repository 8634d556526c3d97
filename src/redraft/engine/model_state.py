"""What a model family tells the engine: the next piece of work of a request, and what its outcome means.

A family is the only place that knows how its kind of model makes text. The engine packs the work of many requests into
one forward, whatever their phases, and hands each its own rows back. To add a diffusion model, write a family.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from redraft.diffusion.predict import Prediction
from redraft.engine.request import Request
from redraft.engine.steering import Committed
from redraft.errors import RedraftError
from redraft.model.masks import Role
from redraft.shapes import Bool, Float, Int, Tensor


@dataclass(frozen=True, kw_only=True)
class Work:
    """Rows that one request wants to run next, after the tokens its cache holds and its works before it.

    The role is the attention rule: ENCODE rows are causal and may be kept in the cache, DENOISE rows see the cache and
    each other and are never kept.
    """

    token_ids: Int[Tensor, "L"]
    role: Role
    signal: Float[Tensor, "L D"] | None = None  # self-conditioning; None: off

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One denoising step of one request, as drafts and traces need it."""

    canvas_index: int
    denoising_step: int
    prediction: Prediction
    accepted: Bool[Tensor, "C"]
    previous_best: Int[Tensor, "C"] | None  # None at a canvas's first step
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one piece of work brought; all None for a stretch of prefill."""

    step: StepRecord | None = None
    committed: Committed | None = None  # what the reply grew by
    logprobs: Float[Tensor, "n"] | None = None  # of the committed ids where they were decided, nats
    top: tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]] | None = None  # the k best there, where the request asks
    prompt_logits: Float[Tensor, "L V"] | None = None  # of the encoded rows, where the request asks for them


@dataclass(frozen=True)
class Run:
    """One request's part of a forward that has run."""

    request: Request
    works: tuple[Work, ...]
    hidden: tuple[Float[Tensor, "_ D"], ...]  # the rows of each work after the final norm


@runtime_checkable
class ModelFamily(Protocol):
    """One way of making text with a model. Holds no state of a request: that lives in Request."""

    def next_work(self, request: Request) -> Sequence[Work]:
        """The rows the request runs in the next engine step, at least one piece.

        Later pieces see earlier ones as if those were in the cache already.
        """
        ...

    def absorb(self, runs: Sequence[Run]) -> list[Outcome | RedraftError]:
        """Move each request on, in place, by the final hidden rows of its work; what happened, run by run.

        An error ends that request alone (ModelFailure where logits are not numbers). A request's outcome must not
        depend on the other runs.
        """
        ...
