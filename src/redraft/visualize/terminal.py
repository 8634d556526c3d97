"""Draws the events of a reply in a terminal, live or replayed: flowing text, or a Sudoku grid."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, runtime_checkable

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from redraft.evaluation.sudoku import wrong_cells
from redraft.reply import Commit, Draft, Finish, Reply
from redraft.visualize.canvas import CanvasView, Cell, Look

Event = Draft | Commit | Finish

STYLES = {Look.OPEN: "dim", Look.FADED: "dim", Look.KEPT: "", Look.FRESH: "bold green"}
# A terminal that knows synchronized updates shows a repaint at once; the others ignore these.
_BEGIN_UPDATE, _END_UPDATE = "\x1b[?2026h", "\x1b[?2026l"
# Everything that could move the cursor or change modes; newlines and tabs are text.
_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


@dataclass(frozen=True)
class Glyphs:
    """Marks that the terminal's encoding can write."""

    open: str = "·"
    separator: str = " · "
    more: str = "…"
    row: str = "│"
    rule: str = "───────┼───────┼───────"


ASCII_GLYPHS = Glyphs(open=".", separator=" - ", more="...", row="|", rule="-------+-------+-------")


def glyphs_for(console: Console) -> Glyphs:
    """The full set, or the ASCII one where the console's encoding lacks a mark."""
    try:
        "·…│─┼".encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII_GLYPHS
    return Glyphs()


def is_live(console: Console) -> bool:
    """Whether a canvas can be repainted in place here; else `play` draws nothing."""
    return console.is_terminal and not console.is_dumb_terminal


def printable(text: str) -> str:
    """The text with control characters made visible, so that no reply can drive the terminal."""
    return text.translate(_CONTROLS)


@runtime_checkable
class Painter(Protocol):
    """How a reply looks while it forms and when it is there."""

    def draft(self, draft: Draft) -> Text:
        """What stands on the screen during a denoising step."""
        ...

    def commit(self, commit: Commit) -> tuple[Text, Text]:
        """Lines that will not change any more, and what stands below them."""
        ...

    def end(self) -> Text:
        """What is left to print when the reply is there."""
        ...


class TextPainter:
    """Flowing text: settled lines scroll up, the canvas refines below them."""

    def __init__(self, text_of: Callable[[int], str], glyphs: Glyphs):
        self._view = CanvasView(text_of)
        self._glyphs = glyphs
        self._line = Text()  # settled text since the last newline

    def draft(self, draft: Draft) -> Text:
        frame = self._line.copy()
        for look, run in groupby(self._view.cells(draft), key=lambda cell: cell.look):
            frame.append("".join(map(self._shown, run)), STYLES[look])
        return frame

    def commit(self, commit: Commit) -> tuple[Text, Text]:
        text = self._line.append(printable(commit.text), "dim italic" if commit.channel == "reasoning" else "")
        lines = text.split("\n", allow_blank=True)
        self._line = lines.pop()
        return Text("\n").join(lines).append("\n" if lines else ""), self._line

    def end(self) -> Text:
        rest, self._line = self._line, Text()
        return rest.append("\n") if rest else rest

    def _shown(self, cell: Cell) -> str:
        return self._glyphs.open if cell.look is Look.OPEN else printable(cell.text)


class SudokuPainter:
    """A 9 x 9 grid: clues bold, accepted cells plain, fresh ones green, open ones a dot, contradictions red."""

    def __init__(self, clues: str, text_of: Callable[[int], str], glyphs: Glyphs):
        self._clues = clues
        self._view = CanvasView(text_of)
        self._glyphs = glyphs
        self._grid = self._draw([(clue if clue.isdigit() and clue != "0" else "", "bold") for clue in clues])

    def draft(self, draft: Draft) -> Text:
        cells = self._view.cells(draft)[: len(self._clues)]
        self._grid = self._draw([self._mark(clue, cell) for clue, cell in zip(self._clues, cells, strict=False)])
        return self._grid

    def commit(self, commit: Commit) -> tuple[Text, Text]:
        answer = commit.text
        if len(answer) == len(self._clues):
            wrong = wrong_cells(self._clues, answer)
            marks = ["bold red" if i in wrong else "bold" if self._clues[i] == answer[i] else "" for i in range(81)]
            self._grid = self._draw(list(zip(answer, marks, strict=True)))
        return Text(), self._grid

    def end(self) -> Text:
        return self._grid.copy().append("\n")

    def _mark(self, clue: str, cell: Cell) -> tuple[str, str]:
        digit = cell.text.strip()
        if cell.look is Look.OPEN or len(digit) != 1 or digit not in "123456789":
            return "", ""
        if clue in "123456789":
            return digit, "bold" if digit == clue else "bold red"
        return digit, STYLES[cell.look]

    def _draw(self, cells: list[tuple[str, str]]) -> Text:
        cells = cells + [("", "")] * (81 - len(cells))
        grid = Text()
        for row in range(9):
            if row in (3, 6):
                grid.append(f"{self._glyphs.rule}\n", "dim")
            for column in range(9):
                if column in (3, 6):
                    grid.append(f" {self._glyphs.row}", "dim")
                digit, style = cells[9 * row + column]
                grid.append(" ").append(digit or self._glyphs.open, style if digit else "dim")
            grid.append("\n" if row < 8 else "")
        return grid


def play(events: Iterable[Event], painter: Painter, console: Console, num_steps: int | None = None) -> Reply | None:
    """Draw events as they come, one repaint per denoising step; returns the reply, None where the events lack one.

    Draws nothing where `is_live` says no. `num_steps` is the step limit that the status line shows.
    """
    reply = None
    if not is_live(console):
        for event in events:
            reply = event.reply if isinstance(event, Finish) else reply
        return reply
    try:
        with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
            for event in events:
                reply = event.reply if isinstance(event, Finish) else reply
                _show(event, painter, live, num_steps)
            live.update(Text())
    finally:  # what was committed stays, also where an error or Ctrl-C ends the reply
        console.print(painter.end(), end="", soft_wrap=True)
    return reply


def _show(event: Event, painter: Painter, live: Live, num_steps: int | None) -> None:
    """Repaint once, inside a synchronized update."""
    console, glyphs = live.console, glyphs_for(live.console)
    console.file.write(_BEGIN_UPDATE)
    if isinstance(event, Draft):
        status = Text(status_line(event, glyphs, num_steps), "dim")
        live.update(Group(_cropped(painter.draft(event), console, glyphs), status), refresh=True)
    elif isinstance(event, Commit):
        settled, frame = painter.commit(event)
        live.update(_cropped(frame, console, glyphs), refresh=not settled)
        if settled:  # printing above a live frame repaints it
            console.print(settled, end="", soft_wrap=True)
    console.file.write(_END_UPDATE)
    console.file.flush()


def status_line(draft: Draft, glyphs: Glyphs, num_steps: int | None = None) -> str:
    """Where a denoising run stands, counts from 1: canvas, step, accepted positions, mean entropy."""
    limit = f"/{num_steps}" if num_steps else ""
    return glyphs.separator.join(
        (
            f"canvas {draft.canvas_index + 1}",
            f"denoising step {draft.denoising_step + 1}{limit}",
            f"{len(draft.accepted)}/{len(draft.token_ids)} accepted",
            f"entropy {draft.mean_entropy:.3f}",
        )
    )


def paced(events: Iterable[Event], seconds: float) -> Iterator[Event]:
    """The same events, with a pause after each draft."""
    for event in events:
        yield event
        if isinstance(event, Draft):
            time.sleep(seconds)


def _cropped(frame: Text, console: Console, glyphs: Glyphs) -> Text:
    """The first lines of a frame, as many as leave room for the status line."""
    lines = frame.wrap(console, console.width, overflow="fold", tab_size=4)
    height = max(console.height - 2, 1)
    if len(lines) > height:
        lines = [*lines[: height - 1], Text(glyphs.more, "dim")]
    return Text("\n").join(lines)
