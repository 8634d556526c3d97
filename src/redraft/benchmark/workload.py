"""What a benchmark runs: real prompts, never random ids."""

from dataclasses import dataclass
from pathlib import Path

from redraft.errors import InvalidRequest
from redraft.evaluation.sudoku import PUZZLES

# The beginnings of ordinary Python files.
PYTHON_PROMPTS = (
    'def mean(values):\n    """Return the arithmetic mean of a list of numbers."""\n',
    "import csv\n\n\ndef read_rows(path):\n    with open(path, newline='') as file:\n",
    "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n",
    "def is_palindrome(text):\n    letters = [c.lower() for c in text if c.isalnum()]\n    return ",
    "from pathlib import Path\n\n\ndef count_lines(folder):\n    total = 0\n    for path in folder.rglob('*'):\n",
    "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n",
)


@dataclass(frozen=True)
class Workload:
    """Prompts under a name that reports can give."""

    name: str
    prompts: tuple[str, ...]


def workload_for(model: str) -> Workload:
    """Sudoku puzzles for redraft-sudoku, the beginnings of Python files for any other model."""
    if Path(model).name == "redraft-sudoku":
        return Workload("sudoku", PUZZLES)
    return Workload("python", PYTHON_PROMPTS)


def workload_from(file: str) -> Workload:
    """One prompt per file, the whole text; InvalidRequest where it is empty."""
    text = Path(file).read_text(encoding="utf-8")
    if not text.strip():
        raise InvalidRequest(f"prompt file {file!r} is empty: want text")
    return Workload(Path(file).name, (text,))
