"""`redraft train`: a recipe run in a folder, resumed where it stopped."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from redraft.checkpoint.fetch import resolve
from redraft.cli.output import note

if TYPE_CHECKING:
    from redraft.training.metrics import Progress

PIPED_SECONDS = 60.0  # between two lines of progress where nobody watches


@click.command(short_help="Train a model from a recipe.")
@click.argument("recipe", type=click.Choice(["sudoku", "mini"]))
@click.option("--out", type=click.Path(file_okay=False), required=True, help="The run's folder; resumed if it has one.")
@click.option("--data", type=click.Path(exists=True), help="Training data; made where there is none.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of weights, data and noise.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Stop after so long, with a checkpoint.")
@click.option("--decay", type=click.IntRange(1), help="Bring the learning rate to zero over so many updates, then end.")
@click.option("--weights", help="What a new run starts from: a run's folder or checkpoint, or a model.")
@click.option("--export", type=click.Path(file_okay=False), help="Write the model there when the run ends.")
def train(
    recipe: str,
    out: str,
    data: str | None,
    seed: int,
    seconds: float | None,
    decay: int | None,
    weights: str | None,
    export: str | None,
) -> None:
    """Train the model of RECIPE in the folder --out. Ctrl-C ends the run after the update in hand, with a checkpoint.

    The same command goes on where the run stopped. Metrics are in the folder, one JSON object per line.
    """
    from redraft.training.run import export_mini, export_sudoku, mini_config, run, start, sudoku_config

    note(f"preparing {recipe}: making its data takes minutes where there is none")
    config = sudoku_config(out, data, seed) if recipe == "sudoku" else mini_config(out, data, seed)
    trainer = start(out, config, decay=decay, weights=weights)
    note(f"{recipe} in {out}, from update {trainer.update}")
    run(trainer, seconds=seconds, report=_reporter())
    note(f"stopped at update {trainer.update}; the checkpoint is in {out}")
    if export:
        is_sudoku = recipe == "sudoku"
        path = export_sudoku(out, export, resolve("redraft-sudoku")) if is_sudoku else export_mini(out, export)
        note(f"exported to {path}: try redraft generate -m {path}")


def _reporter() -> Callable[["Progress"], None]:
    """Prints progress: over the line before on a terminal, else a line a minute."""
    from redraft.training.metrics import progress_line

    shows, last = sys.stdout.isatty(), 0.0

    def report(progress: "Progress") -> None:
        nonlocal last
        if shows:
            click.echo(f"\r{progress_line(progress)}", nl=False)
        elif time.monotonic() - last >= PIPED_SECONDS:
            last = time.monotonic()
            click.echo(progress_line(progress))

    return report
