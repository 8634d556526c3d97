"""Tempered logits conditioned on a constraint -> Prediction: exact marginals, a joint draw, the best path.

The vocabulary is collapsed first (kernels/classes.py): tokens with the same transitions are one class, and only sums
and maxima over classes enter the recursions (messages.py). What comes back is one number per class, so that a token's
conditioned log-probability is its logit plus its class's offset. Class sums are fp32, everything after them is fp64.

Draw, best path and log-probabilities are those of the conditioned distribution. Entropy and signal are not: they say
how sure the model is of a position by itself, among the tokens possible there. The product of all positions is far
surer than the model (it counts one piece of evidence at every position that shows it), and what it is sure of would be
accepted while still wrong: measured in docs/log.md.

Longer than 300 lines because it is the one file in constraints that may hold tensors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from redraft.constraints.lattice import Lattice
from redraft.constraints.messages import Joined, backward, best_messages, best_path, draw_index, draw_path, forward
from redraft.constraints.ties import BestTokens
from redraft.diffusion.predict import Prediction, top_logprobs
from redraft.errors import ModelFailure
from redraft.kernels.classes import (
    ClassStatistics,
    ClassTable,
    SetTable,
    add_offsets,
    best_tokens,
    class_posterior,
    class_statistics,
    class_table,
    drawn_tokens,
    log_totals,
    set_log_masses,
    set_maxima,
)
from redraft.shapes import Float, Int, Tensor

# What -inf is raised to, relative to its row's best, where only -inf is left: no logits may close every path.
_FLOOR = -600.0


@dataclass(frozen=True, kw_only=True)
class PlacedLattice:
    """A lattice and its tables on the model's device; made once per canvas by `place`."""

    lattice: Lattice
    table: ClassTable  # of the lattice's classes
    tables: dict[int, ClassTable]  # of restricted positions
    bounds: NDArray[np.int64]  # where each class begins in `table.tokens`, and its end
    class_of_id: Int[Tensor, "V"]  # number of classes where the id is in no live one
    sets: SetTable

    def ids(self, number: int, position: int) -> Int[Tensor, "k"]:
        """Ids of a class that a position may hold, ascending."""
        if position in self.tables:
            table = self.tables[position]
            return table.tokens[table.classes == number]
        return self.table.tokens[self.bounds[number] : self.bounds[number + 1]]


@dataclass(frozen=True, kw_only=True)
class ConstrainedRows:
    """One request's part in a denoising step.

    `tempered` [C, V] fp32, biased and tempered, gets -inf in place where a token is not possible; that is also what
    `signal` is called with. `uniforms` [3, C]: streams EDGE, CLASS, TOKEN.
    """

    tempered: Float[Tensor, "C V"]
    placed: PlacedLattice
    uniforms: Float[Tensor, "3 C"]
    draw_temperature: float = 1.0  # times the schedule's, for the draw only; 0 draws the best path
    signal: Callable[[Float[Tensor, "C V"]], Float[Tensor, "C _"]] = field(default=lambda possible: possible)
    num_top: int | None = None


@dataclass(frozen=True, kw_only=True)
class ConstrainedStep:
    """What a constrained denoising step gives: the Prediction, and what the next canvas and an infill need."""

    prediction: Prediction  # its log_z: log-probability that a draw position by position would have been valid
    states: NDArray[np.int64]  # [positions + 1] automaton states along the best path; the last starts the next canvas
    log_mass: float  # log of the unnormalised weight of all valid texts
    crossing: NDArray[np.float64]  # [positions + 1] where an infill's hole ends; last: not on this canvas. Else 0


@dataclass(frozen=True)
class _Masses:
    """Masses of a lattice's classes and sets at one temperature, fp64."""

    log_mass: Float[Tensor, "classes P"]  # relative to the largest of each position
    set_log_mass: Float[Tensor, "sets P"]  # likewise
    log_share: Float[Tensor, "P"]  # of that largest in the whole vocabulary

    @property
    def weights(self) -> NDArray[np.float64]:
        """[P, sets] log-probability that a token drawn at the position is in the set."""
        return _host_rows(self.set_log_mass + self.log_share)


@dataclass(frozen=True)
class _Evidence:
    """What the logits of one request say about its lattice's P positions."""

    rows: ConstrainedRows
    stats: ClassStatistics
    log_totals: Float[Tensor, "P"]  # fp64: log of the sum of exp over the whole vocabulary
    masses: _Masses


def place(lattice: Lattice, device: torch.device | str = "cpu") -> PlacedLattice:
    """The lattice with its tables on a device."""

    def on_device(values: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.int64)).to(device)

    sizes = np.diff(lattice.automaton.class_ptr)[lattice.classes].astype(np.int64)
    number = np.full(len(lattice.automaton.class_ptr) - 1, len(sizes), np.int64)
    number[lattice.classes] = np.arange(len(sizes))
    bounds = np.cumsum([0, *sizes])
    tokens = on_device(np.concatenate([lattice.class_tokens(k) for k in range(len(sizes))]))
    table = class_table(tokens, on_device(sizes))
    by_class = np.argsort(lattice.set_classes, kind="stable")
    set_numbers = np.repeat(np.arange(lattice.num_sets), np.diff(lattice.set_ptr))
    return PlacedLattice(
        lattice=lattice,
        table=table,
        bounds=bounds,
        tables={position: table.only(on_device(ids)) for position, ids in lattice.allowed.items()},
        class_of_id=on_device(number[lattice.automaton.token_class]),
        sets=SetTable(
            classes=on_device(lattice.set_classes),
            sets=on_device(set_numbers),
            first=on_device(lattice.set_ptr[:-1]),
            by_class=on_device(set_numbers[by_class]),
            by_class_first=on_device(np.searchsorted(lattice.set_classes[by_class], np.arange(len(sizes)))),
        ),
    )


def predict_constrained(rows: ConstrainedRows) -> ConstrainedStep:
    """The step of one request; see `predict_many`."""
    return predict_many([rows])[0]


def predict_many(requests: Sequence[ConstrainedRows]) -> list[ConstrainedStep]:
    """One step per request, each bitwise what it is alone: valid for any logits; ModelFailure on NaN and +inf.

    Positions after a lattice's last hold its fill id with certainty.
    """
    evidence = [_evidence(rows) for rows in requests]
    joined = Joined(tuple(rows.placed.lattice for rows in requests))
    log_z, transition = backward(joined, joined.weights([e.masses.weights for e in evidence]))
    taken, crossing = forward(joined, transition)
    best = _best_paths(joined, evidence, crossing)
    samples = _samples(evidence, joined.split_edges(transition), [ids for _, ids in best])
    steps = []
    for k, (e, (path, ids)) in enumerate(zip(evidence, best, strict=True)):
        lattice = e.rows.placed.lattice
        steps.append(
            ConstrainedStep(
                prediction=_prediction(e, taken[k], ids, samples[k], float(log_z[k])),
                states=lattice.states[np.concatenate([[lattice.start], lattice.target[path]])],
                log_mass=float(log_z[k]) + e.log_totals.sum().item(),
                crossing=crossing[k],
            )
        )
    return steps


def log_prices(tempered: Float[Tensor, "C V"], placed: Sequence[PlacedLattice]) -> list[float]:
    """Per lattice the log-probability that a draw, position by position, lies in it. May raise -inf logits in place."""
    uniforms = tempered.new_zeros(3, len(tempered))
    evidence = [_evidence(ConstrainedRows(tempered=tempered, placed=p, uniforms=uniforms)) for p in placed]
    joined = Joined(tuple(p.lattice for p in placed))
    return backward(joined, joined.weights([e.masses.weights for e in evidence]))[0].tolist()


def label_probabilities(tempered: Float[Tensor, "C V"], placed: Sequence[PlacedLattice]) -> tuple[list[float], float]:
    """Each label's share of the mass of all, one lattice per label; and that mass, the probability of any of them."""
    prices = np.array(log_prices(tempered, placed))
    mass = np.exp(prices - prices.max())
    return (mass / mass.sum()).tolist(), float(mass.sum() * np.exp(prices.max()))


def _evidence(rows: ConstrainedRows) -> _Evidence:
    """Class and set masses; ModelFailure on NaN and +inf.

    Rows with an allowed set, or with a class of nothing but -inf, get finite logits in place.
    """
    placed = rows.placed
    tempered = rows.tempered[: placed.lattice.num_positions]
    totals = log_totals(tempered).double()
    _check_numbers(totals)
    stats = class_statistics(tempered, placed.table, rows.draw_temperature)
    is_odd = (stats.best == -torch.inf).any(dim=0)
    is_odd[list(placed.tables)] = True
    for i in is_odd.nonzero().flatten().tolist():
        peak = tempered[i].max()
        tempered[i].clamp_(min=torch.where(peak > -torch.inf, peak, 0.0) + _FLOOR)
        again = class_statistics(tempered[i : i + 1], placed.tables.get(i, placed.table), rows.draw_temperature)
        for name in ("best", "log_mass", "entropy", "draw_log_mass"):
            getattr(stats, name)[:, i : i + 1] = getattr(again, name)
    totals = torch.where(totals > -torch.inf, totals, stats.log_mass.amax(dim=0))
    return _Evidence(rows, stats, totals, _masses(stats.log_mass, totals, placed))


def _masses(log_mass: Float[Tensor, "classes P"], totals: Float[Tensor, "P"], placed: PlacedLattice) -> _Masses:
    scale = log_mass.amax(dim=0)
    return _Masses(log_mass - scale, set_log_masses(log_mass - scale, placed.sets), scale - totals)


def _draw_masses(evidence: _Evidence) -> _Masses:
    """Masses at the draw's temperature."""
    rows, temperature = evidence.rows, evidence.rows.draw_temperature
    if temperature in (0.0, 1.0):
        return evidence.masses
    # Edges that weigh 1 whatever the model says need the others' weights as probabilities; without them scale cancels.
    totals = torch.zeros_like(evidence.log_totals)
    if rows.placed.lattice.is_unscored.any():
        totals = log_totals(rows.tempered[: len(totals)] / temperature).double()
    return _masses(evidence.stats.draw_log_mass, totals, rows.placed)


def _check_numbers(totals: Float[Tensor, "P"]) -> None:
    is_bad = totals.isnan() | (totals == torch.inf)
    if is_bad.any():
        positions = is_bad.nonzero().flatten().tolist()
        raise ModelFailure(
            f"logits of the canvas are not numbers at {len(positions)} positions (first: {positions[0]}): "
            "want finite values"
        )


def _host_rows(values: Float[Tensor, "n P"]) -> NDArray[np.float64]:
    """[P, n] on the host."""
    return values.t().double().contiguous().cpu().numpy()


def _best_paths(
    joined: Joined, evidence: Sequence[_Evidence], crossing: Sequence[NDArray[np.float64]]
) -> list[tuple[NDArray[np.int64], Int[Tensor, "_"]]]:
    """Per request the edges and the token ids of its best path; ties go to the lowest id.

    An infill's best path ends its hole where the probability of ending it is largest.
    """
    ends = [int(part.argmax()) if part.any() else None for part in crossing]
    weights = []
    for e in evidence:
        weights.append(_host_rows(set_maxima(e.stats.best - e.log_totals, e.rows.placed.sets)))
    messages = best_messages(joined, joined.weights(weights), ends)
    paths = []
    for k, e in enumerate(evidence):
        lookup = BestTokens(e.rows.placed.lattice, _host_rows(e.stats.best), partial(_best_token, e.rows))
        path = best_path(lookup.lattice, weights[k], messages[k], ends[k], lookup.pick)
        ids = _tokens(
            e.rows, lookup.classes(path), lambda at, ids, logits=e.rows.tempered: best_tokens(logits, at, ids)
        )
        paths.append((path, ids))
    return paths


def _best_token(rows: ConstrainedRows, position: int, number: int) -> int:
    at = torch.tensor([position], device=rows.tempered.device)
    return int(best_tokens(rows.tempered, at, rows.placed.ids(number, position)))


def _samples(
    evidence: Sequence[_Evidence], transitions: Sequence[NDArray[np.float64]], best: Sequence[Int[Tensor, "_"]]
) -> list[Int[Tensor, "_"]]:
    """Per request the token ids of one path drawn from all paths, at the draw's own temperature.

    `transitions`: per request [P, edges] at temperature 1.
    """
    transitions, masses = list(transitions), [_draw_masses(e) for e in evidence]
    others = [k for k, e in enumerate(evidence) if masses[k] is not e.masses]
    if others:
        joined = Joined(tuple(evidence[k].rows.placed.lattice for k in others))
        _, transition = backward(joined, joined.weights([masses[k].weights for k in others]))
        for k, part in zip(others, joined.split_edges(transition), strict=True):
            transitions[k] = part
    return [
        best[k] if e.rows.draw_temperature == 0 else _sample(e.rows, transitions[k], _host_rows(masses[k].log_mass))
        for k, e in enumerate(evidence)
    ]


def _sample(rows: ConstrainedRows, transition: NDArray[np.float64], log_mass: NDArray[np.float64]) -> Int[Tensor, "P"]:
    """Token ids of one path: its edges, then a class of each edge's set, then a token of each class."""
    lattice = rows.placed.lattice
    for_edge, for_class, _ = rows.uniforms.double().cpu().numpy()
    path = draw_path(lattice, transition, for_edge)
    numbers = np.empty(len(path), np.int64)
    for i, edge in enumerate(path):
        classes = lattice.set(int(lattice.edge_set[edge]))
        values = log_mass[i, classes]
        numbers[i] = classes[draw_index(np.exp(values - values.max()), for_class[i])]
    return _tokens(
        rows, numbers, lambda at, ids: drawn_tokens(rows.tempered, at, ids, rows.uniforms[2], rows.draw_temperature)
    )


def _tokens(
    rows: ConstrainedRows, numbers: NDArray[np.int64], choose: Callable[[Tensor, Tensor], Tensor]
) -> Int[Tensor, "P"]:
    """A token per position out of the class numbered there; `choose(positions, ids)` is asked once per class."""
    chosen = torch.empty(len(numbers), dtype=torch.long, device=rows.tempered.device)
    groups: dict[tuple[int, int], list[int]] = {}
    for i, number in enumerate(numbers.tolist()):
        groups.setdefault((number, i if i in rows.placed.tables else -1), []).append(i)
    for (number, position), members in groups.items():
        at = torch.tensor(members, device=chosen.device)
        ids = rows.placed.ids(number, position)
        chosen[at] = ids if len(ids) == 1 else choose(at, ids)
    return chosen


def _prediction(
    evidence: _Evidence,
    taken: NDArray[np.float64],
    best: Int[Tensor, "P"],
    sample: Int[Tensor, "P"],
    log_z: float,
) -> Prediction:
    """The record, from what the recursions found; takes impossible tokens out of the logits, in place."""
    rows, placed, lattice = evidence.rows, evidence.rows.placed, evidence.rows.placed.lattice
    given = torch.from_numpy(np.ascontiguousarray(taken.T)).to(best.device)
    posterior = class_posterior(evidence.masses.log_mass, evidence.masses.set_log_mass, given, placed.sets)
    is_possible = posterior > 0
    alone = torch.softmax(evidence.masses.log_mass.masked_fill(~is_possible, -torch.inf), dim=0)
    entropy = (torch.special.entr(alone) + alone * evidence.stats.entropy).sum(dim=0)
    offsets = torch.where(is_possible, posterior.log() - evidence.stats.log_mass, -torch.inf).float()
    scores = rows.tempered.gather(1, best.unsqueeze(1)).squeeze(1)[: len(best)]
    best_logprob = scores + offsets.gather(0, placed.class_of_id[best].unsqueeze(0)).squeeze(0)

    num_filled = lattice.canvas_length - lattice.num_positions
    fill, certain = best.new_full((num_filled,), lattice.fill_id), scores.new_zeros(num_filled)
    top = None
    if rows.num_top is not None:
        conditioned = _moved(rows.tempered.clone(), placed, offsets)
        top = top_logprobs(conditioned, scores.new_zeros(lattice.canvas_length), rows.num_top)
    possible = _moved(rows.tempered, placed, torch.where(is_possible, 0.0, -torch.inf).float())
    return Prediction(
        entropy=torch.cat([entropy.float(), certain]),
        sample=torch.cat([sample, fill]),
        best=torch.cat([best, fill]),
        signal=rows.signal(possible),
        free=torch.from_numpy(lattice.is_free).to(best.device),
        best_logprob=torch.cat([best_logprob.clamp(max=0.0), certain]),
        log_z=log_z,
        top=top,
    )


def _moved(
    logits: Float[Tensor, "C V"], placed: PlacedLattice, offsets: Float[Tensor, "classes P"]
) -> Float[Tensor, "C V"]:
    """The logits, with each class's offset added in place; -inf where a position cannot hold an id."""
    num_positions = placed.lattice.num_positions
    with_none = torch.nn.functional.pad(offsets.t(), (0, 1), value=-torch.inf)  # ids in no live class
    add_offsets(logits[:num_positions], with_none, placed.class_of_id)
    for position, table in placed.tables.items():
        kept = logits[position, table.tokens]
        logits[position] = -torch.inf
        logits[position, table.tokens] = kept
    logits[num_positions:] = -torch.inf
    logits[num_positions:, placed.lattice.fill_id] = 0.0
    return logits
