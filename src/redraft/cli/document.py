"""Text files that a model writes in: reading and writing them, places in them, and what changed there."""

import difflib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from redraft.errors import InvalidRequest

MARK = "__FILL__"
Fill = Callable[[str, str], str]  # (before, after) -> the text between


@dataclass(frozen=True)
class Document:
    """A file's text. Where every line ends in CRLF, `newline` says so and the text has LF, as models write it."""

    text: str
    newline: str = "\n"

    def with_text(self, text: str) -> "Document":
        """Another text with the same line ends."""
        return replace(self, text=text)


def read_document(path: Path) -> Document:
    """The document in a file; InvalidRequest where there is none or it is not UTF-8."""
    if not path.is_file():
        raise InvalidRequest(f"{path}: no such file, want a file of text")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path}: byte {error.start} is not UTF-8, want a file of text") from error
    is_crlf = "\r\n" in text and text.count("\r") == text.count("\n") == text.count("\r\n")
    return Document(text.replace("\r\n", "\n"), "\r\n") if is_crlf else Document(text)


def write_document(path: Path, document: Document) -> None:
    """Writes the file, with the line ends it had."""
    path.write_bytes(document.text.replace("\n", document.newline).encode("utf-8"))


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
    lines = list(io.StringIO(text))
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
    """Unified diff lines, without their newlines; one that lacks it is followed by the note that says so."""
    for line in difflib.unified_diff(list(io.StringIO(old)), list(io.StringIO(new)), name, f"{name} (new)"):
        yield line.rstrip("\n")
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"
