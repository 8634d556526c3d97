"""`redraft bench`: how fast, measured here and now against what there is to beat."""

import shlex
import sys
from pathlib import Path

import click

from redraft.cli.options import EngineArguments, engine_options, json_option
from redraft.cli.output import waiting


@click.command(short_help="Measure speed against bare products and transformers.")
@click.option(
    "--steps", type=click.IntRange(1), default=24, show_default=True, help="Denoising steps of a timed canvas."
)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Timed turns of every side.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the first prompt.")
@click.option("--prompt-file", type=click.Path(exists=True, dir_okay=False), help="Text to use as the one prompt.")
@click.option("--transformers/--no-transformers", "against", default=True, help="Compare with it, if installed.")
@click.option("--out", type=click.Path(dir_okay=False), help="Also write the JSON there.")
@json_option
@engine_options
def bench(
    steps: int,
    repeats: int,
    seed: int,
    prompt_file: str | None,
    against: bool,
    out: str | None,
    as_json: bool,
    engine_arguments: EngineArguments,
) -> None:
    """Time denoising steps on real prompts, all sides in one run, and what a caller is delivered.

    A step is compared with the bare matrix products of its shapes and with transformers on the same checkpoint;
    delivered tokens with left-to-right decoding by the same weights.
    """
    with engine_arguments.load() as engine, waiting("measuring ..."):
        from redraft.benchmark.run import run_benchmark
        from redraft.benchmark.workload import workload_for, workload_from

        report = run_benchmark(
            engine,
            workload_from(prompt_file) if prompt_file else workload_for(engine_arguments.model),
            command="redraft " + shlex.join(sys.argv[1:]),
            num_steps=steps,
            repeats=repeats,
            seed=seed,
            against=against,
        )
    if out:
        Path(out).write_text(report.to_json() + "\n", encoding="utf-8")
    click.echo(report.to_json() if as_json else report.to_text())
