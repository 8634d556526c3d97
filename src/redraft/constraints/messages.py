"""Sums, maxima and draws over all paths of lattices: the recursions along a canvas. NumPy, fp64, log space.

Several lattices run as one: their edges lie side by side, and no operation mixes two of them, so each result is bitwise
what it is alone. A position costs a dozen small array operations whatever the number of lattices.

    b_i(s)   = log sum over edges e of s: exp(w_i(e) + b_i+1(target of e))     backward, from the final weights
    t_i(e)   = exp(w_i(e) + b_i+1(target) - b_i(s))                            the edge's probability, given s
    g_i+1(s) = sum over edges e into s: g_i(source) t_i(e)                     the probability of being in s, forward
    h_i(s)   = max over edges e of s: w_i(e) + h_i+1(target)                   best paths, with maxima for weights
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from redraft.constraints.lattice import Lattice

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Joined:
    """Lattices side by side; the k-th owns the states, edges and sets from ptr[k] to ptr[k + 1]."""

    lattices: tuple[Lattice, ...]

    @cached_property
    def num_positions(self) -> int:
        return max(lattice.num_positions for lattice in self.lattices)

    @cached_property
    def state_ptr(self) -> Indices:
        return np.cumsum([0, *(len(lattice.states) for lattice in self.lattices)])

    @cached_property
    def edge_ptr(self) -> Indices:
        return np.cumsum([0, *(len(lattice.source) for lattice in self.lattices)])

    @cached_property
    def set_ptr(self) -> Indices:
        return np.cumsum([0, *(lattice.num_sets for lattice in self.lattices)])

    @cached_property
    def source(self) -> Indices:
        return _shifted([lattice.source for lattice in self.lattices], self.state_ptr)

    @cached_property
    def target(self) -> Indices:
        return _shifted([lattice.target for lattice in self.lattices], self.state_ptr)

    @cached_property
    def edge_set(self) -> Indices:
        return _shifted([lattice.edge_set for lattice in self.lattices], self.set_ptr)

    @cached_property
    def unscored(self) -> Indices:
        return _shifted([np.flatnonzero(lattice.is_unscored) for lattice in self.lattices], self.edge_ptr)

    @cached_property
    def crossing(self) -> dict[int, Indices]:
        """Crossing edges of the lattices that have any."""
        edges = {k: np.flatnonzero(lattice.is_crossing) for k, lattice in enumerate(self.lattices)}
        return {k: found + self.edge_ptr[k] for k, found in edges.items() if len(found)}

    @cached_property
    def heads(self) -> Indices:
        """The state each lattice starts in."""
        return np.array([first + lattice.start for first, lattice in zip(self.state_ptr, self.lattices, strict=False)])

    @cached_property
    def first_edges(self) -> Indices:
        """First edge of each state that has one: edges are sorted by source."""
        return np.flatnonzero(np.diff(self.source, prepend=-1))

    @cached_property
    def run_lengths(self) -> Indices:
        """Number of edges of each state that has one."""
        return np.diff(self.first_edges, append=len(self.source))

    def weights(self, parts: Sequence[Array]) -> Array:
        """[positions, sets] from one such array per lattice; 0 beyond a lattice's positions, where nothing reads it."""
        joined = np.zeros((self.num_positions, self.set_ptr[-1]))
        for k, part in enumerate(parts):
            joined[: len(part), self.set_ptr[k] : self.set_ptr[k + 1]] = part
        return joined

    def scores(self, weights: Array, position: int, messages: Array) -> Array:
        """[edges] an edge's log-weight (its set's; 0 if unscored, -inf if blocked) plus its target's message."""
        row = weights[position].take(self.edge_set)
        row[self.unscored] = 0.0
        for k, lattice in enumerate(self.lattices):
            if lattice.is_blocked is not None and position < lattice.num_positions:
                row[self.edge_ptr[k] : self.edge_ptr[k + 1]][lattice.is_blocked[position]] = -np.inf
        row += messages.take(self.target)
        return row

    def split_edges(self, values: Array) -> list[Array]:
        """Per lattice its own positions and edges of [positions, edges]."""
        return [
            values[: lattice.num_positions, self.edge_ptr[k] : self.edge_ptr[k + 1]]
            for k, lattice in enumerate(self.lattices)
        ]

    def no_messages(self) -> Array:
        """[states] -inf: nothing can be reached."""
        return np.full(self.state_ptr[-1], -np.inf)

    def end_lattices(self, messages: Array, position: int) -> None:
        """Puts the final weights, in place, of lattices whose positions end before `position`."""
        for k, lattice in enumerate(self.lattices):
            if lattice.num_positions == position:
                messages[self.state_ptr[k] : self.state_ptr[k + 1]] = lattice.final_weight


def backward(joined: Joined, weights: Array) -> tuple[Array, Array]:
    """[lattices] log of the weight of all paths, and [positions, edges] the probability of each edge given its source.

    `weights`: [positions, sets] log-weights. Edges that lead nowhere have probability 0.
    """
    first, run = joined.first_edges, joined.run_lengths
    transition = np.empty((joined.num_positions, len(joined.source)))
    messages = joined.no_messages()
    for i in range(joined.num_positions - 1, -1, -1):
        joined.end_lattices(messages, i + 1)
        row = joined.scores(weights, i, messages)
        peak = np.maximum.reduceat(row, first)
        peak[peak == -np.inf] = 0.0
        row -= np.repeat(peak, run)
        np.exp(row, out=row)
        total = np.add.reduceat(row, first)
        leads_nowhere = total == 0.0
        total[leads_nowhere] = 1.0
        np.divide(row, np.repeat(total, run), out=transition[i])
        peak += np.log(total)
        peak[leads_nowhere] = -np.inf
        messages = joined.no_messages()
        messages[joined.source[first]] = peak
    return messages[joined.heads], transition


def forward(joined: Joined, transition: Array) -> tuple[list[Array], list[Array]]:
    """Per lattice [positions, sets] the probability that an edge with the set is taken there, and [positions + 1] that
    of crossing there, last that of not crossing on this canvas; all 0 where the lattice has no crossing edges.
    """
    num_states, num_sets = joined.state_ptr[-1], joined.set_ptr[-1]
    taken = np.empty((joined.num_positions, num_sets))
    crossing = [np.zeros(lattice.num_positions + 1) for lattice in joined.lattices]
    here = np.zeros(num_states)
    here[joined.heads] = 1.0
    for i in range(joined.num_positions):
        row = here.take(joined.source)
        row *= transition[i]
        taken[i] = np.bincount(joined.edge_set, row, num_sets)
        for k, edges in joined.crossing.items():
            if i < joined.lattices[k].num_positions:
                crossing[k][i] = row[edges].sum()
        here = np.bincount(joined.target, row, num_states)
    for k in joined.crossing:
        crossing[k][-1] = max(0.0, 1.0 - crossing[k].sum())
    ends = joined.set_ptr[1:]
    parts = [
        taken[: lattice.num_positions, first:end]
        for lattice, first, end in zip(joined.lattices, joined.set_ptr, ends, strict=False)
    ]
    return parts, crossing


def best_messages(joined: Joined, weights: Array, crossings: Sequence[int | None]) -> list[Array]:
    """Per lattice [positions + 1, states] the log-weight of the best path from a state to the end of the canvas.

    `weights`: [positions, sets] log-weights of the best token of a set. `crossings[k]`: the only position where the
    k-th lattice's paths may cross (its number of positions: not on this canvas); None: wherever they like.
    """
    owners = joined.source[joined.first_edges]
    stacked = np.empty((joined.num_positions + 1, joined.state_ptr[-1]))
    messages = joined.no_messages()
    for i in range(joined.num_positions - 1, -1, -1):
        joined.end_lattices(messages, i + 1)
        stacked[i + 1] = messages
        row = joined.scores(weights, i, messages)
        for k, edges in joined.crossing.items():
            if crossings[k] is not None and crossings[k] != i:
                row[edges] = -np.inf
        messages = joined.no_messages()
        messages[owners] = np.maximum.reduceat(row, joined.first_edges)
    stacked[0] = messages
    ends = joined.state_ptr[1:]
    return [
        stacked[: lattice.num_positions + 1, first:end]
        for lattice, first, end in zip(joined.lattices, joined.state_ptr, ends, strict=False)
    ]


def best_path(
    lattice: Lattice,
    weights: Array,
    messages: Array,
    crossing: int | None,
    pick: Callable[[int, Indices], int],
) -> Indices:
    """[positions] the edges of the best path, from one lattice's weights [positions, sets] and best messages.

    `pick(position, edges)` chooses where several edges are equally good.
    """
    path = np.empty(lattice.num_positions, np.int64)
    bounds = np.searchsorted(lattice.source, np.arange(len(lattice.states) + 1))
    state = lattice.start
    for i in range(lattice.num_positions):
        edges = np.arange(bounds[state], bounds[state + 1])
        row = weights[i].take(lattice.edge_set[edges])
        row[lattice.is_unscored[edges]] = 0.0
        if lattice.is_blocked is not None:
            row[lattice.is_blocked[i, edges]] = -np.inf
        row += messages[i + 1].take(lattice.target[edges])
        if crossing is not None and crossing != i:
            row[lattice.is_crossing[edges]] = -np.inf
        tied = edges[row == row.max()]
        path[i] = tied[0] if len(tied) == 1 else pick(i, tied)
        state = lattice.target[path[i]]
    return path


def draw_path(lattice: Lattice, transition: Array, uniforms: Array) -> Indices:
    """[positions] the edges of a path drawn from all paths: `transition` [positions, edges], one uniform each."""
    path = np.empty(lattice.num_positions, np.int64)
    bounds = np.searchsorted(lattice.source, np.arange(len(lattice.states) + 1))
    state = lattice.start
    for i in range(lattice.num_positions):
        first, last = bounds[state], bounds[state + 1]
        path[i] = first + draw_index(transition[i, first:last], uniforms[i])
        state = lattice.target[path[i]]
    return path


def draw_index(weights: Array, uniform: float) -> int:
    """The smallest index whose cumulative weight is strictly above uniform * total; its weight is positive."""
    cumulative = np.cumsum(weights)
    # In fp64 a 24-bit uniform below 1 times the total stays below the total, so there is such an index.
    return int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))


def _shifted(parts: Sequence[Indices], offsets: Indices) -> Indices:
    return np.concatenate([part + offset for part, offset in zip(parts, offsets, strict=False)])
