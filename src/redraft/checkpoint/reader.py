"""Checked reading of JSON files: every complaint names file, key, value and expectation."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from redraft.errors import LoadError

Check = tuple[str, Callable[[Any], bool]]  # what is wanted, in words and as a test
POSITIVE: Check = ("a number > 0", lambda x: is_number(x) and x > 0)
NOT_NEGATIVE: Check = ("a number >= 0", lambda x: is_number(x) and x >= 0)


def whole(least: int) -> Check:
    """An integer of at least so much; JSON's true and false are none."""
    return f"an integer >= {least}", lambda x: is_whole(x, least)


def is_whole(value: Any, least: int) -> bool:
    """Whether a value is an integer of at least so much, and not a boolean."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: Any) -> bool:
    """Whether a value is a number, and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


class Reader:
    """Checked access to one object of a JSON file. `left_out`: what counts where a key is absent."""

    def __init__(self, path: Path, values: Mapping[str, Any], left_out: Mapping[str, Any]):
        self.path = path
        self.values = {**left_out, **values}

    def required(self, key: str, check: Check) -> Any:
        """The value of a key; LoadError where it does not pass the check."""
        wanted, test = check
        value = self.values.get(key)
        if not test(value):
            raise LoadError(f"{self.path}: {key} is {value!r}: want {wanted}")
        return value

    def optional(self, key: str, check: Check) -> Any:
        """The same; None where the key is absent or null."""
        return None if self.values.get(key) is None else self.required(key, check)

    def token_ids(self, key: str) -> tuple[int, ...]:
        """One id or a list of them; none for null."""
        value = self.values.get(key)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if not all(is_whole(i, 0) for i in ids):
            raise LoadError(f"{self.path}: {key} is {value!r}: want a token id or a list of them")
        return tuple(ids)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; LoadError where there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LoadError(f"{path.parent} has no {path.name}: want a checkpoint in the published layout") from None
    except (OSError, ValueError) as error:
        raise LoadError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise LoadError(f"{path} holds {type(values).__name__}: want a JSON object")
    return values
