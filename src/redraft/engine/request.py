"""One request: what was asked, where it stands, and the moves it may make."""

import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from redraft.cache.pool import PagedView
from redraft.config import PREFILL_CHUNK
from redraft.constraints.inference import PlacedLattice
from redraft.diffusion.plain import FilledRules
from redraft.diffusion.predict import LogitRule
from redraft.diffusion.process import CounterDraws
from redraft.engine.steering import Steering
from redraft.shapes import Float, Int, Tensor


class Phase(Enum):
    WAITING = "waiting"  # no cache yet
    PREFILLING = "prefilling"  # the prompt goes into the cache
    DENOISING = "denoising"  # one canvas is being refined
    APPENDING = "appending"  # a finished canvas goes into the cache
    DECODING = "decoding"  # one token goes into the cache, the next one comes out (autoregressive)
    FINISHED = "finished"


@dataclass(eq=False, kw_only=True)
class Request:
    """State of one request; the engine's thread alone changes it, through the methods below.

    Every method checks the phase it may be called in.
    """

    prompt_ids: tuple[int, ...]
    params: Any  # SamplingParams, resolved: nothing that has a default is None
    seed: int
    stop_ids: frozenset[int]
    canvas_length: int
    rules: FilledRules | None  # None: left-to-right decoding has none
    logit_rule: LogitRule
    draws: CounterDraws
    steering: Steering | None = None  # the constraint at work
    first_canvas: Int[Tensor, "C"] | None = None  # what canvas 0 starts from; None: noise
    num_healed: int = 0  # tokens of the first canvas that are no part of the reply
    labels: tuple[PlacedLattice, ...] = ()  # of a reading: one per label
    submitted: float = field(default_factory=time.monotonic)

    phase: Phase = Phase.WAITING
    cache: PagedView | None = None
    last_step: int = 0  # the engine step it last ran in
    pending: Int[Tensor, "T"] | None = None  # ids to encode next: the prompt, later a finished canvas
    canvas_index: int = 0
    denoising_step: int = 0
    canvas: Int[Tensor, "C"] | None = None
    signal: Float[Tensor, "C D"] | None = None  # what self-conditioning takes; None at a canvas's first step
    history: tuple = ()  # what the stop rule has seen of this canvas
    token_ids: list[int] = field(default_factory=list)  # committed so far
    converged: list[bool] = field(default_factory=list)  # per finished canvas
    num_denoising_steps: int = 0
    num_appends: int = 0  # passes that only appended a canvas
    finish_reason: str | None = None
    reading: tuple[list[float], float] | None = None  # probability of each label, mass of them all

    @property
    def family(self) -> str:
        """Which model family runs it."""
        return "reading" if self.labels else self.params.decoding

    @property
    def num_tokens_left(self) -> int:
        """Tokens the reply may still take."""
        return self.params.max_tokens - len(self.token_ids)

    @property
    def num_canvases(self) -> int:
        """Canvases the longest possible reply takes; autoregressive decoding takes none."""
        if self.params.decoding == "autoregressive":
            return 0
        return -(-(self.num_healed + self.params.max_tokens) // self.canvas_length)

    @property
    def capacity(self) -> int:
        """Cache slots the request needs at most: prompt and whole canvases (or single tokens)."""
        return len(self.prompt_ids) + (self.num_canvases * self.canvas_length or self.params.max_tokens)

    @property
    def num_reusable(self) -> int:
        """Tokens of the prompt whose rows nobody needs to see: a remembered prefix may stand for them."""
        if self.params.prompt_logprobs is not None:
            return 0
        return len(self.prompt_ids) - (self.params.decoding == "autoregressive")

    @property
    def num_rows(self) -> int:
        """About how many rows its next work has: what the budget of an engine step counts."""
        if self.phase is Phase.DECODING:
            return 1
        canvas = 0 if self.phase is Phase.PREFILLING else self.canvas_length
        return canvas if self.pending is None else canvas + min(len(self.pending), PREFILL_CHUNK)

    @property
    def is_overdue(self) -> bool:
        deadline = self.params.deadline
        return deadline is not None and time.monotonic() - self.submitted > deadline

    def start_prefill(self, cache: PagedView, prompt: Int[Tensor, "T"]) -> None:
        """Begin with what the cache does not hold yet of the prompt."""
        self._leave(Phase.WAITING)
        rest = prompt[cache.length :]
        self.phase, self.cache, self.pending = Phase.PREFILLING, cache, rest if len(rest) else None

    def encoded(self, num_tokens: int) -> None:
        """Record that the first `num_tokens` pending ids are in the cache now."""
        assert self.pending is not None, "nothing was to be encoded"
        self.num_appends += self.phase is Phase.APPENDING
        rest = self.pending[num_tokens:]
        self.pending = rest if len(rest) else None

    def start_canvas(self, canvas: Int[Tensor, "C"]) -> None:
        self._leave(Phase.PREFILLING, Phase.APPENDING)
        self.phase, self.canvas = Phase.DENOISING, canvas
        self.signal, self.history, self.denoising_step = None, (), 0

    def denoised(self, canvas: Int[Tensor, "C"], signal: Float[Tensor, "C D"] | None, history: tuple) -> None:
        """Record one denoising step that did not finish the canvas."""
        self._leave(Phase.DENOISING)
        self.canvas, self.signal, self.history = canvas, signal, history
        self.denoising_step += 1

    def commit(self, token_ids: list[int], converged: bool) -> None:
        """Record the ids that a finished canvas adds to the reply."""
        self._leave(Phase.DENOISING)
        self.token_ids += token_ids
        self.converged.append(converged)

    def start_append(self, canvas: Int[Tensor, "C"]) -> None:
        self._leave(Phase.DENOISING)
        self.phase, self.pending = Phase.APPENDING, canvas
        self.canvas = self.signal = None
        self.canvas_index += 1

    def decoded(self, token_id: int, next_input: Int[Tensor, "1"]) -> None:
        """Record one token that left-to-right decoding adds to the reply, and queue it for the cache."""
        self._leave(Phase.PREFILLING, Phase.DECODING)
        self.phase, self.pending = Phase.DECODING, next_input
        self.token_ids.append(token_id)

    def cut(self, num_tokens: int) -> None:
        """Keep the first tokens of the reply only: a stop string ended it earlier than its canvas did."""
        del self.token_ids[num_tokens:]

    def finish(self, reason: str | None) -> None:
        """End the request, from any phase; None means that it failed or was cancelled."""
        self.phase, self.finish_reason = Phase.FINISHED, reason
        if self.cache is not None:
            self.cache.close()
        self.cache = self.pending = self.canvas = self.signal = None
        self.history = ()

    def _leave(self, *allowed: Phase) -> None:
        assert self.phase in allowed, f"a request that is {self.phase.value} cannot do this"
