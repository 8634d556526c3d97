"""A constraint at work on one request: the automaton's state between canvases, and the current canvas's lattice."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from redraft.constraints.compiled import CompiledConstraint
from redraft.constraints.inference import ConstrainedStep, PlacedLattice, place
from redraft.constraints.infill import InfillAutomaton
from redraft.constraints.lattice import NO_POSITION, advance, allowed_tokens, unroll
from redraft.shapes import Float, Int, Tensor
from redraft.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Committed:
    """What a finished canvas adds to the reply."""

    token_ids: list[int]
    is_complete: bool  # nothing follows
    first: int = 0  # canvas position of the first of them
    text: str | None = None  # where it is not simply the text of the ids


@runtime_checkable
class Steering(Protocol):
    """What the block-diffusion family asks of a constraint, canvas after canvas."""

    @property
    def placed(self) -> PlacedLattice:
        """Of the canvas at hand."""
        ...

    @property
    def report(self) -> Mapping[str, Any]:
        """What the reply says about its constraint."""
        ...

    def start_canvas(self, canvas: Int[Tensor, "C"], tokens_left: int) -> Int[Tensor, "C"]:
        """The noise with every forced position set; makes `placed`. InvalidRequest where no text is left."""
        ...

    def observe(self, step: ConstrainedStep) -> None:
        """Remember what a denoising step found; the last one before `commit` is the one that counts."""
        ...

    def num_decisive(self, canvas_length: int) -> int:
        """Positions, from the first, that decide what the canvas adds to the reply, by the step last observed."""
        ...

    def commit(self, best: list[int]) -> Committed:
        """What the finished canvas adds to the reply; moves the state on, in place."""
        ...


class _OnCanvas:
    """The lattice of the canvas at hand and what its denoising steps found."""

    def __init__(self, stats: Mapping[str, Any], device: torch.device):
        self._stats, self._device = stats, device
        self._placed: PlacedLattice | None = None
        self._states: np.ndarray | None = None  # along the best path
        self._log_z: list[float] = []

    @property
    def placed(self) -> PlacedLattice:
        """See Steering."""
        assert self._placed is not None, "no canvas has started"
        return self._placed

    @property
    def report(self) -> Mapping[str, Any]:
        """See Steering."""
        return {**self._stats, "log_z": tuple(self._log_z)}

    def observe(self, step: ConstrainedStep) -> None:
        """See Steering."""
        self._states = step.states
        self._log_z.append(float(step.prediction.log_z))

    def _start(self, lattice, canvas: Int[Tensor, "C"]) -> Int[Tensor, "C"]:
        self._placed = place(lattice, self._device)
        forced = torch.from_numpy(lattice.forced).to(canvas.device)
        return torch.where(forced == NO_POSITION, canvas, forced)


class AutomatonSteering(_OnCanvas):
    """A constraint whose whole reply is one text of a token automaton."""

    def __init__(self, compiled: CompiledConstraint, stop_ids: tuple[int, ...], device: torch.device):
        super().__init__(compiled.stats, device)
        self._automaton, self._stop_ids = compiled.automaton, stop_ids
        self._state = compiled.automaton.start

    def start_canvas(self, canvas: Int[Tensor, "C"], tokens_left: int) -> Int[Tensor, "C"]:
        """See Steering."""
        return self._start(unroll(self._automaton, self._state, len(canvas), tokens_left, self._stop_ids[0]), canvas)

    def num_decisive(self, canvas_length: int) -> int:
        """See Steering. What follows the stop token is forced, so all of them may count."""
        return canvas_length

    def commit(self, best: list[int]) -> Committed:
        """See Steering. The stop token stays, the fill after it goes."""
        assert self._states is not None
        kept = best[: self.placed.lattice.num_positions]
        end = next((at for at, token in enumerate(kept) if token in self._stop_ids), None)
        self._state = int(self._states[-1])
        if end is not None:
            return Committed(kept[: end + 1], is_complete=True)
        return Committed(kept, is_complete=self._is_over)

    def masked(self, logits: Float[Tensor, "1 V"], tokens_left: int) -> Float[Tensor, "1 V"]:
        """Logits with -inf where a token would leave the constraint or its budget: for left-to-right decoding."""
        ids = torch.from_numpy(allowed_tokens(self._automaton, self._state, tokens_left)).to(logits.device)
        masked = torch.full_like(logits, -torch.inf)
        masked[:, ids] = logits[:, ids]
        return masked

    def take(self, token_id: int) -> bool:
        """Move on by one token; whether the reply is complete."""
        self._state = advance(self._automaton, self._state, token_id)
        return token_id in self._stop_ids or self._is_over

    @property
    def _is_over(self) -> bool:
        """Whether the text is in the language and nothing but the end can follow."""
        leaves = self._automaton.edge_target[self._automaton.edge_source == self._state]
        return bool(self._automaton.accepting[self._state] and (leaves == self._automaton.end_state).all())


class InfillSteering(_OnCanvas):
    """A hole between two texts: the canvas holds hole and suffix, the reply the hole alone."""

    def __init__(self, infill: InfillAutomaton, tokenizer: Tokenizer, stats: Mapping[str, Any], device: torch.device):
        super().__init__(stats, device)
        self._infill, self._tokenizer = infill, tokenizer
        self._path = [infill.automaton.start]  # states, one more than tokens written
        self._pieces: list[bytes | None] = []  # of the tokens written, the suffix's too
        self._num_bytes = self._num_tokens = 0  # of the hole, committed so far
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def start_canvas(self, canvas: Int[Tensor, "C"], tokens_left: int) -> Int[Tensor, "C"]:
        """See Steering. The budget is the infill's own: it counts tokens that begin in the hole."""
        return self._start(self._infill.unroll(self._path[-1], len(canvas), len(self._pieces)), canvas)

    def num_decisive(self, canvas_length: int) -> int:
        """See Steering. Those up to the token that closes the hole: the suffix after it is no part of the reply."""
        assert self._states is not None
        is_closed = ~self._infill.is_hole[self._states[1:]]
        return int(is_closed.argmax()) + 1 if is_closed.any() else canvas_length

    def commit(self, best: list[int]) -> Committed:
        """See Steering. Healed bytes and suffix are no part of the reply."""
        assert self._states is not None
        first = int(not self._pieces and bool(self._infill.heal))
        self._path += self._states[1:].tolist()
        self._pieces += [self._tokenizer.bytes_of(token) for token in best]
        text, num_tokens = self._infill.hole_text(self._pieces, self._path)
        is_complete = self._infill.is_finished(self._path[-1], len(self._pieces))
        said = self._decoder.decode(text[self._num_bytes :], final=is_complete)
        added = best[first : first + num_tokens - self._num_tokens]
        self._num_bytes, self._num_tokens = len(text), num_tokens
        return Committed(added, is_complete, first=first, text=said)
