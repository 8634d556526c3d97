"""`redraft demo`: the shipped models on real input, each result checked by rules that do not know the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from redraft.cli.options import EngineArguments, json_option
from redraft.cli.output import figures, make_console, print_json, step_limit
from redraft.config import SamplingParams
from redraft.evaluation.pieces import FORMS, HOLES, FormPiece, HolePiece
from redraft.evaluation.sudoku import PUZZLES, faults, num_clues

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from redraft.engine.engine import Engine
    from redraft.reply import Reply
    from redraft.visualize.terminal import Event, Painter

HOLE = "____"


@dataclass(frozen=True)
class Stage:
    """Where a piece is played."""

    engine: "Engine"
    params: SamplingParams
    console: "Console"

    def play(self, events: "Iterable[Event]", painter: "Painter") -> "Reply":
        """The reply, drawn while it forms."""
        from redraft.visualize.terminal import play

        reply = play(events, painter, self.console, step_limit(self.engine, self.params))
        assert reply is not None, "a stream ends with Finish"
        return reply

    def text_painter(self) -> "Painter":
        """Flowing text."""
        from redraft.visualize.terminal import TextPainter, glyphs_for

        return TextPainter(lambda token_id: self.engine.tokenizer.decode([token_id]), glyphs_for(self.console))


def play_sudoku(stage: Stage, clues: str) -> "Reply":
    """One puzzle, as a grid."""
    from redraft.visualize.terminal import SudokuPainter, glyphs_for

    text_of = lambda token_id: stage.engine.tokenizer.decode([token_id])  # noqa: E731
    painter = SudokuPainter(clues, text_of, glyphs_for(stage.console))
    return stage.play(stage.engine.stream(clues, stage.params), painter)


def play_hole(stage: Stage, piece: HolePiece) -> "Reply":
    """One hole, filled with both sides in view and held to its names."""
    return stage.play(stage.engine.fill_stream(piece.infill, stage.params).events(), stage.text_painter())


def play_form(stage: Stage, piece: FormPiece) -> "Reply":
    """One form, held to its schema."""
    from redraft.constraints.spec import JSONSchema

    params = replace(stage.params, constraint=JSONSchema(piece.schema))
    return stage.play(stage.engine.stream(piece.prompt, params), stage.text_painter())


@dataclass(frozen=True)
class Act:
    """One shipped model at one kind of work."""

    name: str  # as JSON has it; titles begin with it
    model: str
    pieces: Sequence[Any]
    title: Callable[[Any], str]  # of a piece
    shown: Callable[[Any], str]  # what the model is given, where the drawing does not have it
    play: Callable[[Stage, Any], "Reply"]
    faults: Callable[[Any, str], tuple[str, ...]]  # of the answer to a piece
    passed: str  # the verdict on an answer without faults
    closing: str  # said of those that passed: "N of M ..."


ACTS = (
    Act(
        "sudoku",
        "redraft-sudoku",
        PUZZLES,
        title=lambda clues: f"{num_clues(clues)} clues",
        shown=lambda clues: "",
        play=play_sudoku,
        faults=faults,
        passed="solved",
        closing="Sudokus solved",
    ),
    Act(
        "infill",
        "redraft-mini",
        HOLES,
        title=lambda piece: f"a hole in Python, one of {', '.join(piece.names)}",
        shown=lambda piece: piece.before + HOLE + piece.after.rstrip(),
        play=play_hole,
        faults=lambda piece, answer: piece.faults(answer),
        passed="right",
        closing="holes filled",
    ),
    Act(
        "form",
        "redraft-mini",
        FORMS,
        title=lambda piece: "a note to JSON, held to a schema",
        shown=lambda piece: piece.note,
        play=play_form,
        faults=lambda piece, answer: piece.faults(answer),
        passed="right",
        closing="forms right",
    ),
)


@click.command(short_help="Watch the shipped models work on real input.")
@click.option("--pieces", type=click.IntRange(1), default=3, show_default=True, help="Pieces of each kind to play.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of every draw.")
@json_option
def demo(pieces: int, seed: int, as_json: bool) -> None:
    """Play the shipped models on real input: Sudokus they have not seen, holes in Python, notes to JSON.

    Every answer is checked by rules that do not know the model, and the result is said as it is. The exit status is 0
    also when an answer fails its check.
    """
    console, params, closings = make_console(draws=not as_json), SamplingParams(seed=seed), []
    for model, acts in groupby(ACTS, key=lambda act: act.model):
        with EngineArguments(model, {}).load() as engine:
            for act in acts:
                closings.append(_perform(act, pieces, Stage(engine, params, console), as_json))
    if not as_json:
        click.echo(f"{', '.join(closings)}: rules, programs and facts were checked")


def _perform(act: Act, count: int, stage: Stage, as_json: bool) -> str:
    """Plays and checks the first `count` pieces; returns what they came to."""
    chosen, num_passed = act.pieces[:count], 0
    for index, piece in enumerate(chosen):
        title = f"{act.name.capitalize()} {index + 1} of {len(act.pieces)}: {act.title(piece)}"
        if not as_json:
            _announce(title, act.shown(piece), stage.console)
        reply = act.play(stage, piece)
        found = act.faults(piece, reply.text)
        num_passed += not found
        if as_json:
            print_json({"act": act.name, "title": title, "answer": reply.text, "faults": found})
        else:
            _conclude(reply, found, act.passed, stage)
    if as_json:
        print_json({"act": act.name, "passed": num_passed, "of": len(chosen)})
    return f"{num_passed} of {len(chosen)} {act.closing}"


def _announce(title: str, shown: str, console: "Console") -> None:
    console.print(title, style="bold", soft_wrap=True)
    for line in shown.splitlines():
        console.print(f"  {line}".rstrip(), style="dim", soft_wrap=True)


def _conclude(reply: "Reply", found: Sequence[str], passed: str, stage: Stage) -> None:
    """The verdict on one piece; piped output gets the answer too, which a terminal has seen."""
    from redraft.visualize.terminal import glyphs_for, is_live

    console = stage.console
    if not is_live(console):
        click.echo(f"  {reply.text}")
    first, *others = found or ("",)
    more = f" and {len(others)} more" if others else ""
    verdict, style = (f"not {passed}: {first}{more}", "red") if found else (passed, "green")
    console.print(f"  {verdict}", style=style, soft_wrap=True)
    line = figures(reply, glyphs_for(console).separator, step_limit(stage.engine, stage.params))
    console.print(f"  {line}", style="dim", soft_wrap=True)
