"""`redraft bench`: how fast, measured here and now against what there is to beat."""

import shlex
import sys
import tempfile
from pathlib import Path

import click
from click.core import ParameterSource

from redraft.cli.options import json_option, model_option
from redraft.cli.output import waiting


@click.command(short_help="Measure speed against bare products and transformers.")
@click.option(
    "--suite",
    is_flag=True,
    help="In place of a model: redraft-sudoku, and random weights of 22.6 M parameters with canvases of 64 and 256, "
    "which are random-64 and random-256 as models by themselves.",
)
@click.option(
    "--steps", type=click.IntRange(1), default=12, show_default=True, help="Denoising steps of a timed canvas."
)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Timed turns of every side.")
@click.option(
    "--pace",
    "paces",
    type=click.IntRange(1),
    multiple=True,
    default=(1, 2, 4, 8, 16, 32, 48),
    show_default=True,
    help="Steps per canvas at which diffusion is compared with left-to-right decoding. May be repeated.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of prompts and random weights.")
@click.option("--prompt-file", type=click.Path(exists=True, dir_okay=False), help="Text to use as the one prompt.")
@click.option("--transformers/--no-transformers", "against", default=True, help="Compare with it, if installed.")
@click.option("--out", type=click.Path(dir_okay=False), help="Also write the JSON there.")
@json_option
@model_option
def bench(
    suite: bool,
    steps: int,
    repeats: int,
    paces: tuple[int, ...],
    seed: int,
    prompt_file: str | None,
    against: bool,
    out: str | None,
    as_json: bool,
    model: str,
) -> None:
    """Time denoising steps on real prompts, all sides in one run, and what a caller is delivered.

    A step is compared with the bare matrix products of its shapes and with transformers on the same checkpoint, and
    split by component; tokens per second are compared with left-to-right decoding by the same weights.
    """
    chosen = click.get_current_context().get_parameter_source("model")
    if suite and chosen is ParameterSource.COMMANDLINE:
        raise click.UsageError("--model with --suite: the suite has its own models, want one of the two")
    if suite and prompt_file:
        raise click.UsageError("--prompt-file with --suite: the suite has its own prompts, want one of the two")
    if out and not Path(out).parent.is_dir():
        raise click.UsageError(f"--out {out}: want a file in a directory that exists")
    with waiting("measuring ..."), tempfile.TemporaryDirectory() as folder:
        from redraft.benchmark import cases
        from redraft.benchmark.run import run_benchmark
        from redraft.benchmark.workload import workload_from

        workload = workload_from(prompt_file) if prompt_file else None
        report = run_benchmark(
            [cases.case_of(name, Path(folder), seed, workload) for name in (cases.SUITE if suite else [model])],
            command="redraft " + shlex.join(sys.argv[1:]),
            num_steps=steps,
            repeats=repeats,
            seed=seed,
            against=against,
            steps=paces,
        )
    if out:
        Path(out).write_text(report.to_json() + "\n", encoding="utf-8")
    click.echo(report.to_json() if as_json else report.to_text())
