"""Sudoku puzzles to show, and a check of answers that trusts nothing but the rules."""

from collections.abc import Iterator

NUM_CELLS = 81

# Made for this list and in no training set; each has one solution. From many clues (40) to few (28).
PUZZLES = (
    "9..8.2...58.4..26343...1..8...92..8665...8.7.8.9.7..1427.1.345.3....9.21.9..468..",
    ".98.37..2.1..6...4..45.9.....26..1.957.....4...1954.27..6145......72.6.....39648.",
    ".67......5..7.13...8.5...2.9.3...275758.2.69...297...4....98.....46.7.1.1..24.5..",
    "96.17..2.......5711.3..54.6...95.1...1..87...752.6..8.83..4.....4729..........7..",
    "...4...1.......8.9...971.3.8.76...9.....397....27..4.82.4.98....9.156....61....8.",
    ".2.3..748......1..3....7...4..6...2198.....73...5.3..67.14.....6....52....5.6.9..",
)


def num_clues(clues: str) -> int:
    """How many of the 81 cells are given."""
    return sum(cell in "123456789" for cell in clues)


def groups() -> Iterator[tuple[str, tuple[int, ...]]]:
    """The 27 groups that hold each digit once: a name such as "row 3", and nine cell numbers from 0."""
    for i in range(9):
        yield f"row {i + 1}", tuple(9 * i + j for j in range(9))
        yield f"column {i + 1}", tuple(9 * j + i for j in range(9))
        corner = 27 * (i // 3) + 3 * (i % 3)
        yield f"box {i + 1}", tuple(corner + 9 * (j // 3) + j % 3 for j in range(9))


def faults(clues: str, answer: str) -> tuple[str, ...]:
    """What is wrong with an answer, a phrase per fault; empty where it solves the puzzle.

    `clues` is 81 characters, digits and `.` or `0` for a blank; `answer` any text.
    """
    if len(answer) != NUM_CELLS or set(answer) - set("123456789"):
        num_digits = sum(cell in "123456789" for cell in answer)
        return (f"the answer has {len(answer)} characters, {num_digits} of them digits 1 to 9: want 81 digits",)
    changed = [i for i, clue in enumerate(clues) if clue in "123456789" and answer[i] != clue]
    found = [f"the clue in row {i // 9 + 1}, column {i % 9 + 1} became {answer[i]}: it was {clues[i]}" for i in changed]
    for name, cells in groups():
        digits = [answer[cell] for cell in cells]
        twice = sorted({digit for digit in digits if digits.count(digit) > 1})
        if twice:
            found.append(f"{name} holds {' and '.join(twice)} more than once")
    return tuple(found)


def wrong_cells(clues: str, answer: str) -> frozenset[int]:
    """Cell numbers of an 81-digit answer that contradict a clue or repeat a digit of their row, column or box."""
    wrong = {i for i, clue in enumerate(clues) if clue in "123456789" and answer[i] != clue}
    for _, cells in groups():
        digits = [answer[cell] for cell in cells]
        wrong |= {cell for cell in cells if digits.count(answer[cell]) > 1}
    return frozenset(wrong)
