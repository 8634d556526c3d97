"""`redraft demo`: the shipped models on real input, each result checked by rules that do not know the model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from redraft.cli.options import EngineArguments, json_option
from redraft.cli.output import figures, make_console, print_json, step_limit
from redraft.config import SamplingParams
from redraft.evaluation.sudoku import PUZZLES, faults, num_clues

if TYPE_CHECKING:
    from rich.console import Console

    from redraft.engine.engine import Engine


@dataclass(frozen=True)
class Result:
    """What one piece of the demo came to."""

    title: str
    answer: str
    faults: tuple[str, ...]  # empty: the answer passed every check
    figures: str


@dataclass(frozen=True)
class Act:
    """One shipped model at one kind of work: `play` draws and checks piece number i."""

    name: str
    model: str
    num_pieces: int
    play: Callable[["Engine", int, SamplingParams, "Console"], Result]
    closing: str  # said of the pieces that passed: "N of M ..."


def play_sudoku(engine: "Engine", index: int, params: SamplingParams, console: "Console") -> Result:
    """One puzzle: drawn as a grid while it forms, then checked against the rules and its clues."""
    from redraft.visualize.terminal import SudokuPainter, glyphs_for, play

    clues, glyphs = PUZZLES[index], glyphs_for(console)
    title = f"Sudoku {index + 1} of {len(PUZZLES)}: {num_clues(clues)} clues"
    if console.is_terminal:
        console.print(title, style="bold")
    painter = SudokuPainter(clues, lambda token_id: engine.tokenizer.decode([token_id]), glyphs)
    num_steps = step_limit(engine, params)
    reply = play(engine.stream(clues, params), painter, console, num_steps)
    assert reply is not None, "a stream ends with Finish"
    return Result(title, reply.text, faults(clues, reply.text), figures(reply, glyphs.separator, num_steps))


ACTS = (Act("sudoku", "redraft-sudoku", len(PUZZLES), play_sudoku, "solved: rows, columns, boxes and clues checked"),)


@click.command(short_help="Watch the shipped models work on real input.")
@click.option("--pieces", type=click.IntRange(1), default=3, show_default=True, help="Pieces of each kind to play.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every draw.")
@json_option
def demo(pieces: int, seed: int, as_json: bool) -> None:
    """Play the shipped models on real input: Sudoku puzzles they have not seen.

    Every answer is checked by the rules alone, and the result is said as it is. The exit status is 0 also when an
    answer fails its check.
    """
    console, params = make_console(draws=not as_json), SamplingParams(seed=seed)
    for act in ACTS:
        with EngineArguments(act.model, {}).load() as engine:
            results = []
            for index in range(min(pieces, act.num_pieces)):
                results.append(act.play(engine, index, params, console))
                _show(results[-1], console, as_json)
        num_passed = sum(not result.faults for result in results)
        summary: dict[str, Any] = {"act": act.name, "passed": num_passed, "of": len(results)}
        print_json(summary) if as_json else click.echo(f"{num_passed} of {len(results)} {act.closing}")


def _show(result: Result, console: "Console", as_json: bool) -> None:
    """The verdict of one piece; piped output gets the title and the answer too, which a terminal has seen."""
    if as_json:
        print_json({"title": result.title, "answer": result.answer, "faults": result.faults})
        return
    if not console.is_terminal:
        click.echo(f"{result.title}\n  {result.answer}")
    first, *others = result.faults or ("",)
    more = f" and {len(others)} more faults" if others else ""
    verdict, style = (f"not solved: {first}{more}", "red") if result.faults else ("solved", "green")
    console.print(f"  {verdict}", style=style, soft_wrap=True)
    console.print(f"  {result.figures}", style="dim", soft_wrap=True)
