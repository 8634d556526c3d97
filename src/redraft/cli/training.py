"""What every training command does: its options, the run with its progress, what is written at its end."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from redraft.cli.output import note

if TYPE_CHECKING:
    from redraft.training.config import RunConfig
    from redraft.training.metrics import Progress
    from redraft.training.trainer import Trainer

PIPED_SECONDS = 60.0  # between two lines of progress where nobody watches


def run_options(command: Callable) -> Callable:
    """The options that every run has."""
    folder, file = click.Path(file_okay=False), click.Path(dir_okay=False)
    options = (
        click.option("--out", type=folder, required=True, help="The run's folder; resumed if it has one."),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the whole run."),
        click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Where to train; CUDA where there is one."),
        click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Stop after so long, resumably."),
        click.option("--export", type=folder, help="Write the model there when the run ends."),
        click.option("--curves", type=file, help="Draw loss and rate there (.png, .svg) when the run ends."),
        click.option("--dry-run", is_flag=True, help="Say what the run takes in time and memory, and stop."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def carry_out(trainer: "Trainer", seconds: float | None, export: str | None, curves: str | None) -> None:
    """Trains, then writes what was asked for; of several processes the first alone says and writes anything."""
    from redraft.training import run

    if not trainer.parallel.is_first:
        run.run(trainer, seconds=seconds)
        return
    note(f"{trainer.config.name} in {trainer.folder}, from update {trainer.update}")
    run.run(trainer, seconds=seconds, report=_reporter())
    note(f"stopped at update {trainer.update}; the checkpoint is in {trainer.folder}")
    if trainer.config.lora is not None:
        adapter = run.save_adapter(trainer.config, trainer.folder, trainer.folder / "adapter")
        note(f"the adapter is in {adapter}: try redraft generate -m {trainer.config.base} --adapter {adapter}")
    if export:
        path = run.export(trainer.config, trainer.folder, export)
        note(f"exported to {path}: try redraft generate -m {path}")
    if curves:
        from redraft.training.plots import plot_metrics

        note(f"curves are in {plot_metrics(trainer.folder, curves)}")


def show_plan(config: "RunConfig") -> None:
    """What a run takes, in a few lines: counted, then measured on this machine where it fits."""
    from redraft.training.plan import describe

    for line in describe(config):
        click.echo(line)


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
