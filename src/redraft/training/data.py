"""Examples as prompts and canvases. A batch is a function of its index, so a data position is one integer."""

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from redraft.errors import InvalidRequest, LoadError
from redraft.shapes import Bool, Int, Tensor
from redraft.training.sudoku import MAX_GIVENS, MIN_GIVENS, NUM_CELLS, random_symmetry

EOS, BOS, TURN, BLANK = 1, 2, 3, 4  # ids of the tokenizer of redraft-sudoku; digit d is BLANK + d


@dataclass(frozen=True)
class Group:
    """Examples whose prompts are equally long."""

    prompt: Int[Tensor, "B P"]
    canvas: Int[Tensor, "B C"]  # the clean tokens
    is_fixed: Bool[Tensor, "B C"] | None = None  # positions that are never noised (a clean suffix); None: none

    def __len__(self) -> int:
        return self.prompt.shape[0]


@runtime_checkable
class BatchSource(Protocol):
    """Where a run's examples come from."""

    def batch(self, index: int, size: int) -> tuple[Group, ...]:
        """Batch `index`, `size` examples in all: the same for the same arguments, whatever was asked for before."""
        ...

    def describe(self) -> dict:
        """What a run's record needs to name the data: plain values for JSON."""
        ...


@dataclass(frozen=True)
class BlankSource:
    """Batches of one id in the longest shape that a recipe's data may have: to plan a run before its data is made."""

    prompt_length: int
    canvas_length: int

    def batch(self, index: int, size: int) -> tuple[Group, ...]:
        return (Group(*(torch.ones(size, n, dtype=torch.int64) for n in (self.prompt_length, self.canvas_length))),)

    def describe(self) -> dict:
        return {"kind": "blank", "prompt_length": self.prompt_length, "canvas_length": self.canvas_length}


@dataclass(frozen=True)
class SudokuSource:
    """Puzzles with one solution, givens spread over a range, each under a fresh random symmetry.

    grids [n, 81] digits; ranks [n, 81] orders of removal (`sudoku.dig`), sorted by how far they go. The place of a
    puzzle's number of givens within the range is u ** skew, u uniform: 1 spreads evenly, above 1 prefers few givens.
    """

    grids: NDArray[np.uint8]
    ranks: NDArray[np.uint8]
    seed: int = 0
    min_givens: int = MIN_GIVENS
    max_givens: int = MAX_GIVENS
    skew: float = 1.0

    @classmethod
    def from_file(cls, path: str | Path, held_out: bool = False, seed: int = 0, **givens: Any) -> "SudokuSource":
        """The training part of a file of `save_paths`, or the part whose grid classes training never sees."""
        arrays = read_arrays(path, "grids", "ranks", "held_out")
        chosen = arrays["held_out"] == held_out
        grids, ranks = arrays["grids"][chosen], arrays["ranks"][chosen]
        if not len(grids):
            raise InvalidRequest(f"{path} has no grids with held_out={held_out}: make a larger file")
        return cls.from_paths(grids, ranks, seed, **givens)

    @classmethod
    def from_paths(
        cls, grids: NDArray[np.uint8], ranks: NDArray[np.uint8], seed: int = 0, **givens: Any
    ) -> "SudokuSource":
        """A source of grids and ranks in any order."""
        order = np.argsort(-_num_removed(ranks), kind="stable")
        return cls(grids[order], ranks[order], seed, **givens)

    def puzzles(self, index: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Puzzles [size, 81] with 0 for blanks, and their solutions."""
        rng = np.random.default_rng((self.seed, index))
        place = rng.random(size) ** self.skew
        givens = self.min_givens + (place * (self.max_givens + 1 - self.min_givens)).astype(np.int64)
        # Sorted by removals, so the paths that reach that few givens come first.
        num_reaching = np.searchsorted(_num_removed(self.ranks) * -1, givens - NUM_CELLS, side="right")
        if not num_reaching.all():
            raise InvalidRequest(f"min_givens={self.min_givens}: no puzzle of this file has as few givens")
        rows = (rng.random(size) * num_reaching).astype(np.int64)
        cells, digits = random_symmetry(rng, size)
        solutions = np.take_along_axis(digits, np.take_along_axis(self.grids[rows].astype(np.int64), cells, 1), 1)
        ranks = np.take_along_axis(self.ranks[rows], cells, 1)
        return np.where(ranks < (NUM_CELLS - givens)[:, None], 0, solutions), solutions

    def batch(self, index: int, size: int) -> tuple[Group, ...]:
        """One group: BOS, 81 cells, turn token; 81 digits and EOS."""
        puzzles, solutions = self.puzzles(index, size)
        return (Group(sudoku_prompts(puzzles), _between(None, solutions, EOS)),)

    def describe(self) -> dict:
        digest = hashlib.sha256(self.grids.tobytes() + self.ranks.tobytes()).hexdigest()
        return {
            "kind": "sudoku",
            "paths": len(self.grids),
            "sha256": digest,
            "seed": self.seed,
            "givens": [self.min_givens, self.max_givens],
            "skew": self.skew,
        }


def read_arrays(path: str | Path, *names: str) -> dict[str, NDArray]:
    """The arrays of those names in an .npz file, equally many rows each; LoadError where it holds something else."""
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise LoadError(f"{path} cannot be read as data ({error}): want the arrays {', '.join(names)}") from error
    if len({len(array) for array in arrays.values()}) > 1:
        raise LoadError(f"{path}: the arrays {', '.join(names)} have different numbers of rows")
    return arrays


def sudoku_prompts(puzzles: NDArray[np.integer]) -> Int[Tensor, "B 83"]:
    """Prompt ids of puzzles [B, 81], 0 for a blank."""
    return _between(BOS, puzzles, TURN)


def _between(first: int | None, cells: NDArray[np.integer], last: int) -> Tensor:
    column = np.ones((len(cells), 1), np.int64)
    parts = [BLANK + cells.astype(np.int64), last * column]
    return torch.from_numpy(np.concatenate(parts if first is None else [first * column, *parts], axis=1))


def _num_removed(ranks: NDArray[np.uint8]) -> NDArray[np.int64]:
    return (ranks < NUM_CELLS).sum(axis=1)
