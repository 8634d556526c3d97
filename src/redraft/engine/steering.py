"""A constraint at work on one request: the automaton's state between canvases, and the current canvas's lattice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from redraft.constraints.inference import ConstrainedStep, PlacedLattice, place
from redraft.constraints.lattice import NO_POSITION, Lattice, advance, allowed_tokens, unroll
from redraft.constraints.tokens import TokenAutomaton
from redraft.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class Committed:
    """What a finished canvas adds to the reply."""

    token_ids: list[int]
    is_complete: bool  # the constraint is fulfilled: nothing follows
    text: str | None = None  # where it is not simply the text of the ids


@runtime_checkable
class Steering(Protocol):
    """What the block-diffusion family asks of a constraint, canvas after canvas."""

    placed: PlacedLattice | None  # of the canvas at hand
    log_z: list[float]  # price of the constraint at each denoising step

    def start_canvas(self, canvas: Int[Tensor, "C"], num_committed: int, tokens_left: int) -> Int[Tensor, "C"]:
        """The first canvas with every forced position set; makes `placed`. InvalidRequest where no text is left."""
        ...

    def observe(self, step: ConstrainedStep) -> None:
        """Remember what a denoising step found; the last one before `commit` is the one that counts."""
        ...

    def commit(self, best: list[int], token_ids: list[int]) -> Committed:
        """What the finished canvas `best` adds to a reply that holds `token_ids`; moves the state on, in place."""
        ...


@dataclass
class AutomatonSteering:
    """A constraint whose whole reply is one text of a token automaton."""

    automaton: TokenAutomaton
    stop_ids: tuple[int, ...]  # the first fills what follows the end
    allowed: Mapping[int, np.ndarray]  # reply position -> the only ids it may hold
    device: torch.device
    placed: PlacedLattice | None = None
    log_z: list[float] = field(default_factory=list)
    _states: np.ndarray | None = None  # along the best path of the canvas at hand

    def __post_init__(self):
        self.state = self.automaton.start

    def lattice(self, canvas_length: int, num_committed: int, tokens_left: int) -> Lattice:
        """The canvas that starts where the reply stands; InvalidRequest where no text of the constraint fits."""
        here = {at - num_committed: ids for at, ids in self.allowed.items() if at >= num_committed}
        here = {at: ids for at, ids in here.items() if at < canvas_length}
        return unroll(self.automaton, self.state, canvas_length, tokens_left, self.stop_ids[0], here)

    def start_canvas(self, canvas: Int[Tensor, "C"], num_committed: int, tokens_left: int) -> Int[Tensor, "C"]:
        """See Steering."""
        self.placed = place(self.lattice(len(canvas), num_committed, tokens_left), self.device)
        return with_forced(canvas, self.placed.lattice)

    def observe(self, step: ConstrainedStep) -> None:
        """See Steering."""
        self._states = step.states
        self.log_z.append(float(step.prediction.log_z))

    def commit(self, best: list[int], token_ids: list[int]) -> Committed:
        """See Steering. The stop token stays, the fill after it goes."""
        assert self.placed is not None and self._states is not None
        kept = best[: self.placed.lattice.num_positions]
        end = next((at for at, token in enumerate(kept) if token in self.stop_ids), None)
        self.state = int(self._states[-1])
        if end is not None:
            return Committed(kept[: end + 1], is_complete=True)
        return Committed(kept, is_complete=self._is_over)

    def masked(self, logits: Float[Tensor, "1 V"], num_committed: int, tokens_left: int) -> Float[Tensor, "1 V"]:
        """Logits with -inf where a token would leave the constraint or its budget: for left-to-right decoding."""
        ids = allowed_tokens(self.automaton, self.state, tokens_left)
        if num_committed in self.allowed:
            ids = np.intersect1d(ids, self.allowed[num_committed])
        masked = torch.full_like(logits, -torch.inf)
        masked[:, ids] = logits[:, ids]
        return masked

    def take(self, token_id: int) -> bool:
        """Move on by one token; whether the reply is complete."""
        self.state = advance(self.automaton, self.state, token_id)
        return token_id in self.stop_ids or self._is_over

    @property
    def _is_over(self) -> bool:
        """Whether the state is accepting and nothing but the end can follow."""
        leaves = self.automaton.edge_target[self.automaton.edge_source == self.state]
        return bool(self.automaton.accepting[self.state] and (leaves == self.automaton.end_state).all())


def with_forced(canvas: Int[Tensor, "C"], lattice: Lattice) -> Int[Tensor, "C"]:
    """The canvas with the only possible token wherever there is just one."""
    forced = torch.from_numpy(lattice.forced).to(canvas.device)
    return torch.where(forced == NO_POSITION, canvas, forced)
