import json

import pytest

from redraft.evaluation.pieces import FORMS, HOLES
from redraft.evaluation.sudoku import NUM_CELLS, PUZZLES, faults, groups

FILLINGS = ("name", "self", "items", "number")


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


@pytest.fixture
def knowing(engine, solutions):
    """An engine that has every answer."""
    forms = {piece.prompt: json.dumps(piece.wanted) for piece in FORMS}
    holes = dict(zip(((piece.before, piece.after) for piece in HOLES), FILLINGS, strict=True))
    engine.answer = (solutions | forms | holes).__getitem__
    return engine


def test_right_answers_are_said_to_be_right_in_a_few_plain_lines(knowing, run, solutions):
    done = run("demo", "--pieces", "1")
    assert done.exit_code == 0
    figures = "  1 canvas · 2/48 steps · {0} tok · 0.5 s · {1} tok/s · {2} tok/pass"
    assert done.stdout.splitlines() == [
        "Sudoku 1 of 6: 40 clues",
        f"  {solutions[PUZZLES[0]]}",
        "  solved",
        figures.format(81, 162, 40.5),
        "Infill 1 of 4: a hole in Python, one of name, greet, text, hello",
        "  def greet(name):",
        "      return 'hello ' + ____",
        "",
        "",
        "  text = greet('Ada')",
        "  name",
        "  right",
        figures.format(4, 8, "2.0"),
        "Form 1 of 4: a note to JSON, held to a schema",
        "  Lunch with Maria at 14:30 in Oslo.",
        '  {"name": "Maria", "time": "14:30", "city": "Oslo"}',
        "  right",
        figures.format(50, 100, "25.0"),
        "1 of 1 Sudokus solved, 1 of 1 holes filled, 1 of 1 forms right: rules, programs and facts were checked",
    ]
    assert done.stderr == ""


def test_every_piece_can_be_solved(knowing, run):
    closing = run("demo", "--pieces", "6").stdout.splitlines()[-1]
    assert closing.startswith("6 of 6 Sudokus solved, 4 of 4 holes filled, 4 of 4 forms right: ")


def test_wrong_answers_are_said_to_be_wrong_and_still_exit_0(engine, run):
    engine.answer = lambda asked: "1" * NUM_CELLS
    done = run("demo", "--pieces", "2")
    assert done.exit_code == 0
    assert done.stdout.count("  not solved: the clue in row 1, column ") == 2
    assert done.stdout.count("  not right: ") == 4
    assert done.stdout.splitlines()[-1].startswith("0 of 2 Sudokus solved, 0 of 2 holes filled, 0 of 2 forms right: ")


def test_an_answer_that_is_no_grid_does_not_pass(engine, run):
    engine.answer = lambda asked: "12"
    assert "want 81 digits" in run("demo", "--pieces", "1").stdout


def test_a_right_grid_for_another_puzzle_does_not_pass(engine, run, solutions):
    assert faults(PUZZLES[0], solutions[PUZZLES[1]])
    engine.answer = lambda asked: solutions[PUZZLES[1] if asked == PUZZLES[0] else PUZZLES[0]]
    assert run("demo", "--pieces", "2").stdout.splitlines()[-1].startswith("0 of 2 Sudokus solved")


def test_json_gives_an_object_per_piece_and_one_for_the_sum(knowing, run):
    records = [json.loads(line) for line in run("demo", "--json", "--pieces", "2").stdout.splitlines()]
    assert [record["faults"] for record in records if "faults" in record] == [[]] * 6
    assert [record for record in records if "faults" not in record] == [
        {"act": act, "passed": 2, "of": 2} for act in ("sudoku", "infill", "form")
    ]


def test_each_shipped_model_is_loaded_once_and_asked_with_the_seed(knowing, run):
    run("demo", "--seed", "9", "--pieces", "1")
    assert knowing.loaded == [("redraft-sudoku", {}), ("redraft-mini", {})]
    assert [params.seed for _, params in knowing.asked] == [9, 9, 9]
    assert knowing.asked[1][0] == HOLES[0].infill
    assert knowing.asked[2][1].constraint.matches(json.dumps(FORMS[0].wanted))
    assert knowing.is_closed
