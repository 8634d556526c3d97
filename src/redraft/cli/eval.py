"""`redraft eval`: how good, on questions that training never saw."""

import shlex
import sys
from collections.abc import Mapping
from typing import Any

import click

from redraft.cli.options import EngineArguments, engine_options, json_option, sampling_options
from redraft.cli.output import print_json, waiting
from redraft.config import SamplingParams


@click.command("eval", short_help="Grade a model on questions training never saw.")
@click.argument("task", type=click.Choice(["sudoku"]))
@click.option("--count", type=click.IntRange(1), default=20, show_default=True, help="Questions of each kind.")
@click.option("--out", type=click.Path(dir_okay=False), help="Also write the results there.")
@json_option
@engine_options
@sampling_options()
def evaluate(
    task: str, count: int, out: str | None, as_json: bool, engine_arguments: EngineArguments, params: SamplingParams
) -> None:
    """Grade a model on TASK, in one denoising step and refined, every rate with its 95 % interval.

    Question number i is sampled with --seed plus i (0 where none is given), the same in both settings.
    """
    from redraft.evaluation.run import evaluate as grade
    from redraft.evaluation.run import one_step_and_refined, write_results
    from redraft.evaluation.tasks import SudokuTask

    with engine_arguments.load() as engine, waiting("grading ..."):
        results = grade(
            engine,
            SudokuTask(),
            one_step_and_refined(params),
            count=count,
            seed=params.seed or 0,
            command="redraft " + shlex.join(sys.argv[1:]),
        )
    if out:
        write_results(results, out)
    if as_json:
        print_json(results)
        return
    click.echo(f"{results['task']}, {count} of each kind, {results['model']}")
    for setting, result in results["settings"].items():
        click.echo(f"\n{setting}")
        _print_table(result["figures"])


def _print_table(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """A row per figure, a column per group; the first group's rates with their intervals."""
    groups = list(figures)
    rows = [["", *groups]]
    for name, whole in figures[groups[0]].items():
        others = [_short(figures[group][name]) for group in groups[1:]]
        rows.append([name.replace("_", " "), _short(whole) + _interval(whole), *others])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        click.echo(("  " + "  ".join(cells)).rstrip())


def _short(figure: Any) -> str:
    if isinstance(figure, Mapping):
        return f"{figure['share']:.1%}"
    return "none" if figure is None else f"{figure:.3g}"


def _interval(figure: Any) -> str:
    if not isinstance(figure, Mapping):
        return ""
    low, high = figure["interval"]
    return f" ({low:.1%} to {high:.1%}, {figure['successes']} of {figure['count']})"
