import json

import pytest

from redraft.evaluation.sudoku import NUM_CELLS, PUZZLES, faults, groups


def solution(clues):
    """The solution, trying the digits of the cell that has the fewest."""
    options = {
        i: set("123456789") - {clues[j] for _, cells in groups() if i in cells for j in cells}
        for i, clue in enumerate(clues)
        if clue == "."
    }
    if not options:
        return clues
    cell = min(options, key=lambda i: len(options[i]))
    tries = (solution(clues[:cell] + digit + clues[cell + 1 :]) for digit in options[cell])
    return next(filter(None, tries), None)


@pytest.fixture(scope="module")
def solutions():
    return {clues: solution(clues) for clues in PUZZLES}


def test_solved_puzzles_are_said_to_be_solved_in_a_few_plain_lines(engine, run, solutions):
    engine.answer = solutions.__getitem__
    done = run("demo")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 13
    assert lines[0] == "Sudoku 1 of 6: 40 clues"
    assert lines[1].strip() == solutions[PUZZLES[0]]
    assert lines[2:4] == ["  solved", "  1 canvas · 2/48 steps · 81 tok · 0.5 s · 162 tok/s · 40.5 tok/pass"]
    assert lines[-1] == "3 of 3 solved: rows, columns, boxes and clues checked"
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_a_wrong_answer_is_said_to_be_wrong_and_still_exits_0(engine, run, solutions):
    engine.answer = lambda clues: "1" * NUM_CELLS
    done = run("demo", "--pieces", "2")
    assert done.exit_code == 0
    assert done.stdout.count("  not solved: the clue in row 1, column ") == 2
    assert "more faults" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("0 of 2 solved")


def test_an_answer_that_is_no_grid_does_not_pass(engine, run):
    engine.answer = lambda clues: "12"
    assert "want 81 digits" in run("demo", "--pieces", "1").stdout


def test_a_right_grid_for_another_puzzle_does_not_pass(engine, run, solutions):
    engine.answer = lambda clues: solutions[PUZZLES[1] if clues == PUZZLES[0] else PUZZLES[0]]
    assert faults(PUZZLES[0], solutions[PUZZLES[1]])
    assert run("demo", "--pieces", "2").stdout.splitlines()[-1].startswith("0 of 2 solved")


def test_json_gives_an_object_per_piece_and_one_for_the_sum(engine, run, solutions):
    engine.answer = solutions.__getitem__
    records = [json.loads(line) for line in run("demo", "--json", "--pieces", "2").stdout.splitlines()]
    assert [record["faults"] for record in records[:2]] == [[], []]
    assert records[2] == {"act": "sudoku", "passed": 2, "of": 2}


def test_the_demo_plays_the_shipped_sudoku_model_with_its_seed(engine, run):
    run("demo", "--seed", "9", "--pieces", "1")
    assert engine.loaded == [("redraft-sudoku", {})]
    assert engine.asked[0][1].seed == 9
    assert engine.is_closed
