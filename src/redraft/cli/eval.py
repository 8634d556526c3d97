"""`redraft eval`: how good, on questions that training never saw."""

import shlex
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from redraft.cli.options import EngineArguments, engine_options, json_option, model_option, sampling_options
from redraft.cli.output import note, print_json, waiting
from redraft.cli.tables import print_results
from redraft.config import SamplingParams

if TYPE_CHECKING:
    from redraft.evaluation.tasks import Task

# What a constraint or a hole refuses, or the settings choose.
_NOT_WITH_CONSTRAINTS = ("stop", "ignore_eos", "top_k", "top_p", "min_tokens")

out_option = click.option("--out", type=click.Path(dir_okay=False), help="Also write the results there, as JSON.")


@click.group("eval", short_help="Grade a model on questions training never saw.")
def evaluate() -> None:
    """Grade a model on questions that training never saw, every rate with its 95 % interval.

    Question number i is sampled with --seed plus i (0 where none is given), the same in every setting.
    """


def measuring(count: int, *without: str, model: str | None = None) -> Callable:
    """The options of a command that grades: the number of questions of each kind, the engine's and the sampler's."""

    def decorate(command: Callable) -> Callable:
        command = sampling_options("decoding", *without)(command)
        command = json_option(partial(engine_options, model=model)(command))
        trained_on = click.option(
            "--trained-on", type=click.IntRange(1), help="Examples the model has seen; recorded for plots."
        )
        counted = click.option(
            "--count", type=click.IntRange(1), default=count, show_default=True, help="Questions of each kind."
        )
        return counted(out_option(trained_on(command)))

    return decorate


@evaluate.command(short_help="Puzzles, by number of givens.")
@measuring(20, model="redraft-sudoku")
def sudoku(**options: Any) -> None:
    """Sudokus of 24 to 46 givens (--count of each): refined, never anew, in one denoising step, left to right."""
    from redraft.evaluation.sudoku_task import SudokuTask

    _measure(SudokuTask(), **options)


@evaluate.command(short_help="What entropy bound and step limit are worth, on puzzles.")
@measuring(3, "max_denoising_steps", "entropy_bound", model="redraft-sudoku")
def sampler(**options: Any) -> None:
    """Sudokus of 30 to 46 givens (--count of each) under every entropy bound and step limit of a grid."""
    from redraft.evaluation.sudoku_task import SamplerTask

    _measure(SamplerTask(), num_noised=0, **options)


@evaluate.command(short_help="Notes to JSON objects, free and constrained.")
@click.option(
    "--style", type=click.Choice(["form", "schema"]), default="form", show_default=True, help="What a prompt asks with."
)
@measuring(40, *_NOT_WITH_CONSTRAINTS)
def forms(style: str, **options: Any) -> None:
    """Short notes to JSON objects, by what is new about them: free, constrained, and left to right."""
    from redraft.evaluation.forms import FormsTask

    _measure(FormsTask(style), **options)


@evaluate.command(short_help="Holes in Python files.")
@click.option(
    "--corpus",
    type=click.Path(exists=True, file_okay=False),
    required=True,
    help="Gathered files: docs/evaluation.md.",
)
@measuring(20, *_NOT_WITH_CONSTRAINTS, "max_tokens")
def infill(corpus: str, **options: Any) -> None:
    """Holes in held-out files and packages of a corpus: with both sides in view, and with the text before alone."""
    from redraft.evaluation.infill import InfillTask

    _measure(InfillTask(Path(corpus)), **options)


@evaluate.command(short_help="Holes in HumanEval's solutions, with their tests.")
@click.option("--data", type=click.Path(file_okay=False), help="Default: humaneval-infilling below REDRAFT_TEST_DATA.")
@click.option("--tests/--no-tests", default=True, help="Run programs that parse, in a limited process.")
@measuring(50, *_NOT_WITH_CONSTRAINTS, "max_tokens")
def humaneval(data: str | None, tests: bool, **options: Any) -> None:
    """HumanEval's single-line and random-span infilling: exact, parses, passes the tests given.

    Programs are run in a process with limits on time, memory, files and processes, without network where the system
    lets us (a line says so where not). That is no wall: use --no-tests for weights you do not trust.
    """
    from redraft.evaluation.humaneval import HumanEvalTask, data_folder
    from redraft.evaluation.sandbox import is_cut_off

    if tests and not is_cut_off():
        note("note: no namespaces here, so the programs under test can reach the network")
    _measure(HumanEvalTask(Path(data) if data else data_folder(), tests), **options)


@evaluate.command(short_help="Is every constrained reply valid?")
@model_option
@click.option("--random-weights", type=click.Path(exists=True, file_okay=False), help="A random model, this tokenizer.")
@click.option("--count", type=click.IntRange(1), default=500, show_default=True, help="Replies.")
@click.option("--steps", type=click.IntRange(1), default=3, show_default=True, help="Most denoising steps of a canvas.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of every draw.")
@click.option("--schemas", type=click.Path(exists=True, dir_okay=False), help="Labelled schemas; default: test data's.")
@click.option("--distinct", type=click.IntRange(0), default=30, show_default=True, help="Schemas taken of that file.")
@out_option
@json_option
def validity(
    model: str,
    random_weights: str | None,
    count: int,
    steps: int,
    seed: int,
    schemas: str | None,
    distinct: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Patterns, schemas, templates and infills, each reply judged without our automata; status 1 where one is bad."""
    from redraft.evaluation.run import write_results
    from redraft.evaluation.validity import measured

    options = Namespace(
        model=None if random_weights else model,
        random_weights=Path(random_weights) if random_weights else None,
        replies=count,
        seed=seed,
        steps=steps,
        schemas=Path(schemas) if schemas else None,
        distinct=distinct,
    )
    with waiting("judging ..."):
        *_, results = measured(options, _command())
    if out:
        write_results(results, out)
    if as_json:
        print_json(results)
    else:
        for kind, verdicts in results["kinds"].items():
            click.echo(f"{kind:9} " + ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items()))
        for fault in results["invalid"]:
            click.echo(f"invalid   {fault['case']}, seed {fault['params']['seed']}: {fault['why']}")
    if results["invalid"]:
        raise click.exceptions.Exit(1)


@evaluate.command(short_help="Draw a curve of results files.")
@click.argument("path", type=click.Path(dir_okay=False))
@click.argument("results", type=click.File(encoding="utf-8"), nargs=-1, required=True)
def plot(path: str, results: tuple[Any, ...]) -> None:
    """Draw RESULTS, files of --out, to PATH (.png, .svg, .pdf): rates by givens or by step limit, loss by noise.

    Several files of one task, each made with --trained-on: its main rate by training size.
    """
    import json

    from redraft.evaluation.plots import plot as draw

    click.echo(str(draw([json.load(file) for file in results], path)))


def _measure(
    task: "Task",
    *,
    count: int,
    out: str | None,
    trained_on: int | None,
    as_json: bool,
    engine_arguments: EngineArguments,
    params: SamplingParams,
    **more: Any,
) -> None:
    """Grades, writes and prints."""
    from redraft.benchmark.machine import this_machine
    from redraft.evaluation.run import evaluate as graded
    from redraft.evaluation.run import write_results

    with engine_arguments.load() as engine:
        results = graded(engine, task, params, count=count, seed=params.seed or 0, report=_progress, **more)
    results |= {"command": _command(), "machine": asdict(this_machine()), "trained_on": trained_on}
    if out:
        write_results(results, out)
    if as_json:
        print_json(results)
    else:
        print_results(results)


def _command() -> str:
    return "redraft " + shlex.join(sys.argv[1:])


def _progress(setting: str, done: int, total: int) -> None:
    """One line on a terminal's standard error, which the last call clears."""
    if sys.stderr.isatty():
        text = f"{setting}: {done} of {total}"
        click.echo(f"\r{text}\x1b[K" if done < total else "\r\x1b[K", err=True, nl=False)
