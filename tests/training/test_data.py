"""Batches: what they hold, and that they depend on their index alone."""

from itertools import islice

import numpy as np
import pytest
import torch

from redraft.errors import InvalidRequest
from redraft.training.data import BLANK, BOS, EOS, TURN, SudokuSource
from redraft.training.sudoku import has_one_solution, make_paths


@pytest.fixture(scope="module")
def source() -> SudokuSource:
    grids, ranks = zip(*islice(make_paths(seed=0), 30), strict=True)
    return SudokuSource.from_paths(np.array(grids, np.uint8), np.array(ranks, np.uint8), seed=5)


def test_puzzles_have_one_solution_and_givens_in_range(source):
    puzzles, solutions = source.puzzles(0, 40)
    assert all(has_one_solution(puzzle.tolist()) for puzzle in puzzles)
    assert ((puzzles == 0) | (puzzles == solutions)).all()
    givens = (puzzles > 0).sum(axis=1)
    assert givens.min() >= 24 and givens.max() <= 46
    assert len(set(givens.tolist())) > 10


def test_prompt_and_canvas_follow_the_tokenizers_layout(source):
    (group,) = source.batch(0, 4)
    puzzles, solutions = source.puzzles(0, 4)
    assert group.prompt.shape == (4, 83) and group.canvas.shape == (4, 82)
    assert (group.prompt[:, 0] == BOS).all() and (group.prompt[:, -1] == TURN).all()
    assert torch.equal(group.prompt[:, 1:-1] - BLANK, torch.from_numpy(puzzles))
    assert torch.equal(group.canvas[:, :81] - BLANK, torch.from_numpy(solutions))
    assert (group.canvas[:, 81] == EOS).all()


def test_a_batch_depends_on_its_index_alone(source):
    first = source.batch(3, 8)[0]
    source.batch(4, 8)
    again = source.batch(3, 8)[0]
    assert torch.equal(first.prompt, again.prompt) and torch.equal(first.canvas, again.canvas)
    assert not torch.equal(first.canvas, source.batch(4, 8)[0].canvas)


def test_a_range_of_givens_is_kept(source):
    easy = SudokuSource(source.grids, source.ranks, min_givens=40, max_givens=41)
    givens = (easy.puzzles(0, 20)[0] > 0).sum(axis=1)
    assert set(givens.tolist()) == {40, 41}


def test_too_few_givens_are_refused_by_number(source):
    with pytest.raises(InvalidRequest, match="min_givens=17"):
        SudokuSource(source.grids, source.ranks, min_givens=17, max_givens=17).puzzles(0, 4)


def test_a_file_without_held_out_grids_is_refused(tmp_path):
    grid, rank = next(make_paths(seed=0))
    np.savez(
        tmp_path / "p.npz",
        grids=np.array([grid], np.uint8),
        ranks=np.array([rank], np.uint8),
        held_out=np.array([False]),
    )
    assert len(SudokuSource.from_file(tmp_path / "p.npz").grids) == 1
    with pytest.raises(InvalidRequest, match="held_out=True"):
        SudokuSource.from_file(tmp_path / "p.npz", held_out=True)
