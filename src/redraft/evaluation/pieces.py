"""What the demo shows beside Sudokus: notes with the facts in them and programs with a hole, and checks of answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redraft.constraints.spec import Choice, Infill
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
    """A program with one hole, names of which one belongs there, and what must hold when the program has run."""

    before: str
    after: str
    names: tuple[str, ...]
    check: str  # an expression

    @property
    def infill(self) -> Infill:
        """The hole, held to the names."""
        return Infill(self.before, self.after, hole=Choice(self.names))

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
        "def greet(name):\n    return 'hello ' + ",
        "\n\n\ntext = greet('Ada')\n",
        ("name", "greet", "text", "hello"),
        "text == 'hello Ada'",
    ),
    HolePiece(
        "class Dog:\n    def __init__(self, name):\n        ",
        ".name = name\n\n\nrex = Dog('Rex')\n",
        ("self", "name", "Dog", "rex"),
        "rex.name == 'Rex'",
    ),
    HolePiece(
        "def is_empty(items):\n    return len(",
        ") == 0\n\n\nempty = is_empty([])\n",
        ("items", "is_empty", "len", "empty"),
        "empty is True",
    ),
    HolePiece(
        "total = 0\nfor number in [1, 2, 3]:\n    total += ",
        "\n",
        ("total", "number", "range"),
        "total == 6",
    ),
)
