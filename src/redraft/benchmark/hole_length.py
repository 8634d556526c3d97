"""Does an infill find the length of its hole? Planted canvases with and without the equal-terms rule (docs/log.md).

A canvas of hole, suffix and fill is drawn; every position's logits are noise plus `signal` at its true token. Nothing
else tells the length. Run: python -c "from redraft.benchmark.hole_length import measure; print(measure(2.0, 60))"
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from redraft.constraints.automaton import compile_tree
from redraft.constraints.inference import ConstrainedRows, place, predict_constrained
from redraft.constraints.infill import InfillAutomaton
from redraft.constraints.infill_moves import InfillParts, build_infill
from redraft.constraints.limits import Limits, Meter
from redraft.constraints.tree import FreeTokens
from redraft.constraints.vocabulary import Vocabulary
from redraft.shapes import Float, Tensor

CANVAS_LENGTH, MAX_HOLE = 64, 40
LETTERS = b"etaoinsh"
TIE = 0.5  # a length ties with the best if its probability is at least this share of it


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How often one way of choosing found the planted length, over all trials."""

    rule: str
    signal: float  # nats
    num_suffix: int  # tokens
    found: float
    mean_error: float  # found minus planted, tokens
    ties: float  # share of trials with a second length nearly as probable
    mean_length: float


def measure(signal: float, num_suffix: int, num_trials: int = 100, seed: int = 0) -> list[Outcome]:
    """Each rule's outcome: equal terms or every position scored; hole of highest posterior or the plain best path."""
    rng = np.random.default_rng(seed)
    vocabulary = _vocabulary(rng)
    hole = compile_tree(FreeTokens(None))
    lengths: dict[str, list[tuple[int, int, bool]]] = {}
    for _ in range(num_trials):
        suffix = rng.integers(256, vocabulary.size - 1, num_suffix)
        pieces = tuple(vocabulary.token_bytes[token] or b"" for token in suffix)
        parts = InfillParts(hole=hole, heal=b"", suffix=pieces, max_tokens=MAX_HOLE, canvas_length=CANVAS_LENGTH)
        fair = build_infill(parts, vocabulary, (vocabulary.size - 1,), (), Meter(Limits()))
        unfair = replace(fair, is_unscored=np.zeros_like(fair.is_unscored))
        planted = int(rng.integers(0, MAX_HOLE + 1))
        logits = _planted_logits(rng, planted, suffix, vocabulary.size, signal)
        for rule, infill in (("equal terms", fair), ("all scored", unfair)):
            length, path_length, is_tie = _found(infill, logits)
            lengths.setdefault(f"{rule}, posterior", []).append((planted, length, is_tie))
            lengths.setdefault(f"{rule}, best path", []).append((planted, path_length, False))
    return [_outcome(rule, signal, num_suffix, rows) for rule, rows in lengths.items()]


def _vocabulary(rng: np.random.Generator) -> Vocabulary:
    """Every byte, 255 runs of 2 to 4 frequent letters, and an end id."""
    runs: set[bytes] = set()
    while len(runs) < 255:
        runs.add(bytes(rng.choice(list(LETTERS), int(rng.integers(2, 5))).tolist()))
    return Vocabulary([*(bytes([i]) for i in range(256)), *sorted(runs), None])


def _planted_logits(
    rng: np.random.Generator, planted: int, suffix: np.ndarray, vocab_size: int, signal: float
) -> Float[Tensor, "C V"]:
    hole = rng.integers(256, vocab_size - 1, planted)
    fill = np.full(CANVAS_LENGTH, vocab_size - 1)
    truth = np.concatenate([hole, suffix, fill])[:CANVAS_LENGTH]
    logits = rng.normal(0, 1, (CANVAS_LENGTH, vocab_size))
    logits[np.arange(CANVAS_LENGTH), truth] += signal
    return torch.from_numpy(logits).float()


def _found(infill: InfillAutomaton, logits: Float[Tensor, "C V"]) -> tuple[int, int, bool]:
    """Length of highest posterior, length on the best path of all, and whether a second length nearly ties."""
    uniforms = torch.zeros(3, CANVAS_LENGTH)
    lattice = infill.unroll(infill.automaton.start, CANVAS_LENGTH, 0)
    rows = ConstrainedRows(tempered=logits.clone(), placed=place(lattice), uniforms=uniforms, draw_temperature=0.0)
    crossing = predict_constrained(rows).crossing
    free = replace(lattice, is_crossing=np.zeros_like(lattice.is_crossing))
    rows = ConstrainedRows(tempered=logits.clone(), placed=place(free), uniforms=uniforms, draw_temperature=0.0)
    states = predict_constrained(rows).states
    second, first = np.sort(crossing)[-2:]
    return int(crossing.argmax()), int(infill.is_hole[states].sum()) - 1, bool(second >= TIE * first)


def _outcome(rule: str, signal: float, num_suffix: int, rows: list[tuple[int, int, bool]]) -> Outcome:
    planted, found, ties = np.array(rows).T
    return Outcome(
        rule=rule,
        signal=signal,
        num_suffix=num_suffix,
        found=float((planted == found).mean()),
        mean_error=float((found - planted).mean()),
        ties=float(ties.mean()),
        mean_length=float(found.mean()),
    )
