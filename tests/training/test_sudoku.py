"""Grids and puzzles: valid, uniquely solvable, and the same from the same seed."""

import random
from itertools import islice

import numpy as np
import pytest

from redraft.evaluation.sudoku import PUZZLES, groups
from redraft.training.sudoku import (
    MIN_GIVENS,
    dig,
    grid_class,
    has_one_solution,
    make_paths,
    random_grid,
    random_symmetry,
    save_paths,
)


def is_valid(grid: list[int]) -> bool:
    return all(sorted(grid[cell] for cell in cells) == list(range(1, 10)) for _, cells in groups())


def symmetric(grid: list[int], seed: int) -> list[int]:
    cells, digits = random_symmetry(np.random.default_rng(seed), 1)
    return [int(digits[0, grid[cell]]) for cell in cells[0]]


def test_random_grids_obey_the_rules_and_differ():
    grids = [random_grid(random.Random(seed)) for seed in range(20)]
    assert all(map(is_valid, grids))
    assert len(set(map(tuple, grids))) == 20


def test_every_puzzle_along_a_path_has_one_solution():
    grid, rank = next(make_paths(seed=3))
    num_removed = sum(place < 81 for place in rank)
    assert 81 - num_removed >= MIN_GIVENS
    assert sorted(place for place in rank if place < 81) == list(range(num_removed))
    for k in (num_removed, num_removed - 9, 30, 1):
        assert has_one_solution([0 if place < k else digit for place, digit in zip(rank, grid, strict=True)])


def test_a_cell_stays_where_its_removal_would_allow_a_second_grid():
    rng = random.Random(5)
    grid = random_grid(rng)
    rank = dig(grid, rng, min_givens=0)
    puzzle = [0 if place < 81 else digit for place, digit in zip(rank, grid, strict=True)]
    assert has_one_solution(puzzle)
    for cell in [cell for cell, digit in enumerate(puzzle) if digit][:6]:
        assert not has_one_solution([0 if i == cell else digit for i, digit in enumerate(puzzle)])


@pytest.mark.parametrize("puzzle", PUZZLES)
def test_known_puzzles_have_one_solution(puzzle):
    assert has_one_solution([int(cell) for cell in puzzle.replace(".", "0")])


def test_contradictions_and_open_grids_have_not_one_solution():
    assert not has_one_solution([0] * 81)
    assert not has_one_solution([1, 1] + [0] * 79)


def test_symmetries_keep_grids_valid_and_in_their_class():
    grid = random_grid(random.Random(1))
    images = [symmetric(grid, seed) for seed in range(10)]
    assert all(map(is_valid, images))
    assert {grid_class(image) for image in images} == {grid_class(grid)}
    assert len(set(map(tuple, images))) == 10


def test_different_grids_are_of_different_classes():
    assert len({grid_class(random_grid(random.Random(seed))) for seed in range(40)}) == 40


def test_paths_depend_on_seed_and_index_only():
    later = next(make_paths(seed=7, start=2))
    assert later == list(islice(make_paths(seed=7), 3))[2]
    assert later != next(make_paths(seed=8, start=2))


def test_a_file_holds_the_first_paths(tmp_path):
    save_paths(tmp_path / "paths.npz", 3, seed=7)
    with np.load(tmp_path / "paths.npz") as arrays:
        assert arrays["grids"].tolist() == [grid for grid, _ in islice(make_paths(seed=7), 3)]
        assert arrays["ranks"].tolist() == [rank for _, rank in islice(make_paths(seed=7), 3)]
        assert arrays["held_out"].dtype == bool
