"""Places in a file that a model writes at, and what changed there. Pure functions of text."""

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path

from redraft.errors import InvalidRequest

MARK = "__FILL__"
Fill = Callable[[str, str], str]  # (before, after) -> the text between


def place_of(argument: str) -> tuple[Path, int | None]:
    """`FILE` or `FILE:LINE` (from 1) -> the path and the line; a file whose own name ends in :N wins."""
    name, _, number = argument.rpartition(":")
    if Path(argument).exists() or not name or not number.isdecimal():
        return Path(argument), None
    return Path(name), int(number)


def fill_line(text: str, line: int, fill: Fill) -> str:
    """The text with what `fill` gives as new lines before `line`; the line after the last one appends.

    Raises InvalidRequest naming the lines there are.
    """
    lines = text.splitlines(keepends=True)
    if not 1 <= line <= len(lines) + 1:
        raise InvalidRequest(f"line {line}: the file has {len(lines)} lines, want 1 to {len(lines) + 1}")
    before, after = "".join(lines[: line - 1]), "".join(lines[line - 1 :])
    if before and not before.endswith("\n"):
        before += "\n"
    return before + fill(before, "\n" + after) + "\n" + after


def fill_marks(text: str, fill: Fill) -> str:
    """The text with every mark replaced by what `fill` gives, from top to bottom.

    Each fill sees the results above; the marks below are left out of what it sees. InvalidRequest without a mark.
    """
    done, *rest = text.split(MARK)
    if not rest:
        raise InvalidRequest(f"the file has no {MARK} mark: want one, or FILE:LINE")
    for i, following in enumerate(rest):
        done += fill(done, "".join(rest[i:])) + following
    return done


def diff(name: str, old: str, new: str) -> Iterator[str]:
    """Unified diff lines, without their newlines."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    return (line.rstrip("\n") for line in difflib.unified_diff(before, after, name, f"{name} (new)"))
