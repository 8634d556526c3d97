import pytest

from redraft.evaluation.sudoku import PUZZLES, faults, groups, num_clues, wrong_cells
from redraft.training.sudoku import has_one_solution, is_held_out

SOLVED = "".join(str((3 * (r % 3) + r // 3 + c) % 9 + 1) for r in range(9) for c in range(9))


def test_a_solved_grid_has_no_faults():
    assert faults("." * 81, SOLVED) == ()
    assert wrong_cells("." * 81, SOLVED) == frozenset()


def test_clues_may_be_written_with_dots_or_zeros():
    assert faults(SOLVED[:40] + "0" * 41, SOLVED) == faults(SOLVED[:40] + "." * 41, SOLVED) == ()


def test_a_swap_of_two_cells_breaks_their_columns_and_names_them():
    swapped = SOLVED[1] + SOLVED[0] + SOLVED[2:]
    found = faults("." * 81, swapped)
    assert [text.split(" holds")[0] for text in found] == ["column 1", "column 2"]
    assert wrong_cells("." * 81, swapped) >= {0, 1}


def test_a_valid_grid_that_overwrites_a_clue_is_no_solution():
    clues = "2" + "." * 80
    assert SOLVED[0] == "1"
    assert faults(clues, SOLVED) == ("the clue in row 1, column 1 became 1: it was 2",)
    assert wrong_cells(clues, SOLVED) == {0}


@pytest.mark.parametrize("answer", ["", SOLVED[:80], SOLVED + "1", SOLVED[:80] + "0", SOLVED[:80] + "x"])
def test_an_answer_that_is_not_81_digits_is_a_fault_of_its_own(answer):
    assert len(faults("." * 81, answer)) == 1
    assert "want 81 digits" in faults("." * 81, answer)[0]


def test_every_cell_lies_in_three_groups_of_nine():
    cells = [cell for _, group in groups() for cell in group]
    assert all(cells.count(cell) == 3 for cell in range(81))
    assert len(list(groups())) == 27


@pytest.mark.parametrize("clues", PUZZLES)
def test_a_demo_puzzle_has_exactly_one_solution(clues):
    assert has_one_solution([0 if cell == "." else int(cell) for cell in clues])


@pytest.mark.parametrize("clues", PUZZLES)
def test_training_never_saw_a_demo_puzzle_nor_one_like_it(clues):
    answer = _solution(clues)
    assert faults(clues, answer) == ()
    assert is_held_out([int(digit) for digit in answer])


def test_demo_puzzles_go_from_many_clues_to_few():
    counts = [num_clues(clues) for clues in PUZZLES]
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (40, 28)


def _solution(clues):
    """The solution, trying the digits of the cell that has the fewest."""
    options = {
        i: set("123456789") - {clues[j] for _, cells in groups() if i in cells for j in cells}
        for i, clue in enumerate(clues)
        if clue == "."
    }
    if not options:
        return clues
    cell = min(options, key=lambda i: len(options[i]))
    tries = (_solution(clues[:cell] + digit + clues[cell + 1 :]) for digit in options[cell])
    return next(filter(None, tries), None)
