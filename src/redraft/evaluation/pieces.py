"""What the demo shows beside Sudokus: notes with the facts in them and programs with a hole, and checks of answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redraft.evaluation.sandbox import passes


@dataclass(frozen=True)
class FormPiece:
    """A note, and the object it should become."""

    note: str
    wanted: Mapping[str, str | int]

    @property
    def prompt(self) -> str:
        """The note and the form to fill in, as redraft-mini is asked."""
        return f"{self.note}\n{json.dumps({key: type(value)() for key, value in self.wanted.items()})}\n"

    @property
    def schema(self) -> dict[str, Any]:
        """What the reply is held to: the keys in order, with their types."""
        kinds = {key: {"type": "integer" if isinstance(value, int) else "string"} for key, value in self.wanted.items()}
        return {"type": "object", "properties": kinds, "required": list(kinds), "additionalProperties": False}

    def faults(self, answer: str) -> tuple[str, ...]:
        """What is wrong with a reply, a phrase per fault; empty where every field is that of the note."""
        try:
            found = json.loads(answer)
        except ValueError:
            return ("the reply is no JSON",)
        if not isinstance(found, dict) or list(found) != list(self.wanted):
            return (f"the reply has not the keys {', '.join(self.wanted)}",)
        return tuple(
            f"{key} is {json.dumps(found[key], ensure_ascii=False)}, the note says {json.dumps(value)}"
            for key, value in self.wanted.items()
            if found[key] != value
        )


@dataclass(frozen=True)
class HolePiece:
    """A program with one hole, and what must hold when it has run."""

    before: str
    after: str
    check: str  # an expression

    def faults(self, answer: str) -> tuple[str, ...]:
        """What is wrong with a filling; empty where the program runs (in a limited process) and the check holds."""
        program = self.before + answer + self.after
        try:
            compile(program, "demo", "exec")
        except (SyntaxError, ValueError):
            return ("that is no Python",)
        return () if passes(f"{program}\nassert {self.check}") else (f"{self.check} does not hold",)


FORMS = (
    FormPiece("Lunch with Maria at 14:30 in Oslo.", {"name": "Maria", "time": "14:30", "city": "Oslo"}),
    FormPiece("Order B4711: 12 red chairs for Peter", {"quantity": 12, "item": "red chairs", "customer": "Peter"}),
    FormPiece("[ERROR] disk full in billing, status 503", {"service": "billing", "message": "disk full", "code": 503}),
    FormPiece("Clara called, phone 030 44718, lives in Vienna", {"who": "Clara", "phone": "030 44718"}),
)
HOLES = (
    HolePiece(
        "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        ",
        "\n\n\npoint = Point(1, 2)\n",
        "point.y == 2",
    ),
    HolePiece(
        "def add(first, second):\n    total = first + second\n    return ",
        "\n\n\nresult = add(2, 3)\n",
        "result == 5",
    ),
    HolePiece(
        'with open("note.txt", "w") as ',
        ':\n    file.write("ready")\n',
        'open("note.txt").read() == "ready"',
    ),
    HolePiece(
        "import ",
        '\n\ntext = json.dumps({"name": "Ada"})\n',
        'text == \'{"name": "Ada"}\'',
    ),
)
