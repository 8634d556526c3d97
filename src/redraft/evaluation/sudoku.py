"""Sudoku puzzles to show, and a check of answers that trusts nothing but the rules."""

from collections.abc import Iterator

NUM_CELLS = 81

# From grid classes that training holds out; each has one solution. From many clues (40) to few (28).
PUZZLES = (
    "..5.2819....5963.79863......9.683.4.6..9712...1....7..1.9.64..2.4785961....1...7.",
    "5..6....9.439.16.....5...27.9.2.8....3.14...51.573.9.44168..5.37.2...4.6.5....8..",
    ".83.9......1.2.....7243....89715236.....86.7..267..8.54..........9..4..1.3.9152..",
    "7926.4...........636.89...5..348..5.4.97...3....123.9..3.9.62......185..1.7......",
    "..1...7...47...3.9...4....8.736.1.954.5..7..1.1.8.5..2.3..5...7....8..6...21.3...",
    ".1.8..5...7..2..4........689.1.......8253....5...9...21..7..4....748...9....597.3",
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
