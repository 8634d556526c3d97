"""Sudoku grids and puzzles with exactly one solution, made from a seed.

A candidate set is one 729-bit integer, bit 81 d + cell for "digit d + 1 may stand in cell". Each of the four kinds of
group (the digits of a cell; the places of a digit in a row, a column, a box) holds nine candidates at fixed distances,
so one pass of shifts counts all 81 groups of a kind at once.
"""

import random
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NUM_CELLS = 81
MIN_GIVENS, MAX_GIVENS = 24, 46
HELD_OUT_CLASSES = 50  # one grid class in this many is never trained on
_EVERYTHING = (1 << 729) - 1


def _mask(origins: list[int]) -> int:
    return sum(1 << origin for origin in origins)


# Per kind of group: the bits where groups begin, and the distances of their nine members.
_CELL = (_mask(list(range(81))), tuple(81 * d for d in range(9)))
_ROW = (_mask([81 * d + 9 * r for d in range(9) for r in range(9)]), tuple(range(9)))
_COLUMN = (_mask([81 * d + c for d in range(9) for c in range(9)]), tuple(9 * r for r in range(9)))
_BOX = (
    _mask([81 * d + 27 * i + 3 * j for d in range(9) for i in range(3) for j in range(3)]),
    tuple(9 * i + j for i in range(3) for j in range(3)),
)
_KINDS = tuple((origins, shifts, _mask(list(shifts))) for origins, shifts in (_CELL, _ROW, _COLUMN, _BOX))


def _propagate(candidates: int) -> int:
    """Candidates left after naked and hidden singles, repeated to the end; 0 where a group has no candidate."""
    settled = 0
    while True:
        singles = 0
        for origins, shifts, spread in _KINDS:
            once = twice = 0
            for shift in shifts:
                members = candidates >> shift & origins
                twice |= once & members
                once |= members
            if once != origins:
                return 0
            singles |= (once & ~twice) * spread & candidates
        fresh = singles & ~settled
        if not fresh:
            return candidates
        settled |= fresh
        for origins, shifts, spread in _KINDS:
            once = 0
            for shift in shifts:
                members = fresh >> shift & origins
                if once & members:
                    return 0
                once |= members
            candidates &= ~(once * spread) | fresh


def _open_cell(candidates: int) -> int:
    """A cell with two candidates, else any with more; -1 if every cell is settled."""
    once = twice = more = 0
    for shift in _CELL[1]:
        members = candidates >> shift & _CELL[0]
        more |= twice & members
        twice |= once & members
        once |= members
    pick = twice & ~more or twice
    return (pick & -pick).bit_length() - 1


def _digits(candidates: int, cell: int) -> list[int]:
    return [d for d in range(9) if candidates >> 81 * d + cell & 1]


def _place(candidates: int, cell: int, digit: int) -> int:
    others = _KINDS[0][2] << cell
    return _propagate(candidates & ~others | 1 << 81 * digit + cell)


def _has_solution(candidates: int) -> bool:
    """Whether a propagated candidate set (0: none) holds a full grid."""
    if not candidates:
        return False
    cell = _open_cell(candidates)
    return cell < 0 or any(_has_solution(_place(candidates, cell, d)) for d in _digits(candidates, cell))


def _fill(candidates: int, rng: random.Random) -> int:
    """A full grid inside a propagated candidate set, digits tried in random order; 0 if there is none."""
    if not candidates:
        return 0
    cell = _open_cell(candidates)
    if cell < 0:
        return candidates
    digits = _digits(candidates, cell)
    rng.shuffle(digits)
    return next((grid for d in digits if (grid := _fill(_place(candidates, cell, d), rng))), 0)


def _read(candidates: int) -> list[int]:
    """Digit 0..8 of each of the 81 cells of a settled candidate set."""
    return [_digits(candidates, cell)[0] for cell in range(NUM_CELLS)]


def random_grid(rng: random.Random) -> list[int]:
    """81 digits 1..9 of a full valid grid: a search that prefers cells with two choices and shuffles the digits."""
    return [d + 1 for d in _read(_fill(_EVERYTHING, rng))]


def _candidates(cells: list[int]) -> int:
    """Candidate set of 81 digits 0..9 (0 blank), before hidden singles."""
    candidates = _EVERYTHING
    for cell, digit in enumerate(cells):
        if digit:
            candidates &= ~(_KINDS[0][2] << cell) | 1 << 81 * (digit - 1) + cell
    return candidates


def has_one_solution(puzzle: list[int]) -> bool:
    """Whether 81 digits 0..9 (0 blank) complete to exactly one grid."""

    def count(candidates: int, limit: int) -> int:
        if not candidates:
            return 0
        cell = _open_cell(candidates)
        if cell < 0:
            return 1
        total = 0
        for digit in _digits(candidates, cell):
            total += count(_place(candidates, cell, digit), limit - total)
            if total >= limit:
                break
        return total

    return count(_propagate(_candidates(puzzle)), 2) == 1


def dig(grid: list[int], rng: random.Random, min_givens: int = MIN_GIVENS) -> list[int]:
    """For each cell its place in an order of removal that keeps the solution unique; 81 for cells that stay.

    The first k removals leave a puzzle with 81 - k givens and one solution, for every k up to the number removed.
    Removing a cell keeps uniqueness exactly when no grid has another digit there.
    """
    puzzle = list(grid)
    rank = [NUM_CELLS] * NUM_CELLS
    removed = 0
    for cell in rng.sample(range(NUM_CELLS), NUM_CELLS):
        if NUM_CELLS - removed == min_givens:
            break
        digit = puzzle[cell]
        puzzle[cell] = 0
        without = _candidates(puzzle) & ~(1 << 81 * (digit - 1) + cell)
        if _has_solution(_propagate(without)):
            puzzle[cell] = digit
        else:
            rank[cell] = removed
            removed += 1
    return rank


_BANDS = ((0, 1, 2), (3, 4, 5), (6, 7, 8))


def _cycle_type(first: list[int], second: list[int]) -> int:
    """The cycle lengths of the digit permutation first -> second, as one number that ignores their order."""
    image = dict(zip(first, second, strict=True))
    lengths = 0
    while image:
        start, digit = image.popitem()
        length = 1
        while digit != start:
            digit = image.pop(digit)
            length += 1
        lengths += 16**length
    return lengths


def grid_class(grid: list[int]) -> str:
    """A name shared by all grids that digit, band, stack, row, column and transpose symmetries turn into one another.

    Cycle types of the permutations between pairs of lines do not change under relabelling; sorting them within bands
    and between bands removes the order. Different classes may share a name, which only makes a hold-out stricter.
    """

    def side(lines: list[list[int]]) -> list:
        types = {(i, j): _cycle_type(lines[i], lines[j]) for i in range(9) for j in range(9) if i != j}
        within = sorted(sorted(types[i, j] for i in b for j in b if i < j) for b in _BANDS)
        between = sorted(
            sorted(min(types[i, j], types[j, i]) for i in a for j in b) for a in _BANDS for b in _BANDS if a < b
        )
        return [within, between]

    rows = [grid[9 * r : 9 * r + 9] for r in range(9)]
    return repr(sorted([side(rows), side([list(column) for column in zip(*rows, strict=True)])]))


def is_held_out(grid: list[int]) -> bool:
    """Whether a grid, and with it every grid of its class, is kept for evaluation."""
    return zlib.crc32(grid_class(grid).encode()) % HELD_OUT_CLASSES == 0


def make_paths(seed: int, start: int = 0) -> Iterator[tuple[list[int], list[int]]]:
    """Endless (grid, removal order) pairs; pair i depends on (seed, i) only."""
    while True:
        rng = random.Random(f"sudoku {seed} {start}")
        grid = random_grid(rng)
        yield grid, dig(grid, rng)
        start += 1


def save_paths(path: str | Path, count: int, seed: int = 0) -> None:
    """Writes the first `count` pairs of `make_paths` as an .npz: grids, ranks [n, 81] uint8; held_out [n] bool.

    About ten milliseconds a pair, on one core.
    """
    grids, ranks = (np.array(column, np.uint8) for column in zip(*islice(make_paths(seed), count), strict=True))
    held_out = np.array([is_held_out(grid) for grid in grids.tolist()])
    np.savez_compressed(path, grids=grids, ranks=ranks, held_out=held_out)


def random_symmetry(rng: np.random.Generator, batch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cell orders [batch, 81] and digit maps [batch, 10] (0 stays 0) of random symmetries of the puzzle."""

    def lines() -> NDArray[np.int64]:
        bands = rng.random((batch, 3, 1)).argsort(axis=1)
        within = rng.random((batch, 3, 3)).argsort(axis=2)
        return (3 * bands + within).reshape(batch, 9)

    cells = 9 * lines()[:, :, None] + lines()[:, None, :]
    flip = rng.random(batch) < 0.5
    cells[flip] = cells[flip].transpose(0, 2, 1)
    digits = np.concatenate([np.zeros((batch, 1), np.int64), 1 + rng.random((batch, 9)).argsort(axis=1)], axis=1)
    return cells.reshape(batch, NUM_CELLS), digits
