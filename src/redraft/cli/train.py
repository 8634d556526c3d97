"""`redraft train`: a recipe, or fine-tuning, run in a folder and resumed where it stopped."""

import json
from typing import Any

import click

from redraft.cli.finetune import finetune
from redraft.cli.output import note
from redraft.cli.training import carry_out, run_options, show_plan

RECIPES = {
    "sudoku": "redraft-sudoku: puzzles by refinement; hours on one core",
    "mini": "redraft-mini: forms and Python; hours on one core",
    "mini-full-0": "a larger redraft-mini for a GPU, first of three stages: Python",
    "mini-full-1": "the second stage, from --weights of the first: forms, infill, continuation",
    "mini-full-2": "the third stage, from --weights of the second: the rate goes to zero",
    "FILE.py:NAME": "your own: a function (data, seed) that gives a redraft.training.config.RunConfig",
}


class Recipes(click.Group):
    """One command per recipe, alike but for their names, and `finetune`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["finetune", *RECIPES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "finetune":
            return finetune
        return _recipe_command(cmd_name) if cmd_name in RECIPES or ".py:" in cmd_name else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Recipes"):
            formatter.write_dl(list(RECIPES.items()))
        with formatter.section("Other"):
            formatter.write_dl([("finetune", "teach a checkpoint new data: adapters, or all weights")])


@click.group(cls=Recipes, subcommand_metavar="RECIPE [OPTIONS]", short_help="Train a model from a recipe.")
def train() -> None:
    """Train a model from a recipe, or fine-tune one."""


def _recipe_command(name: str) -> click.Command:
    @click.command(name)
    @click.option("--data", type=click.Path(exists=True), help="Training data; made in the folder where there is none.")
    @click.option("--decay", type=click.IntRange(1), help="Bring the rate to zero over so many updates, then end.")
    @click.option("--weights", help="What a new run starts from: a run's folder or checkpoint, or a model.")
    @click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Another value of a field of the run.")
    @run_options
    def command(
        out: str, data: str | None, seed: int, decay: int | None, weights: str | None, changes: tuple[str, ...],
        device: str | None, dry_run: bool, **options: Any,
    ) -> None:  # fmt: skip
        """Train in the folder --out. Ctrl-C ends the run after the update in hand, with a checkpoint.

        The same command goes on where the run stopped. Metrics are in the folder, one JSON object per line, and
        run.json has all the fields that --set can change, such as batch_size=16 or optimizer.peak_lr=0.001. Started by
        torchrun --nproc-per-node N --no-python, N processes share the `accumulate` batches of every update.
        """
        from redraft.training.catalog import changed, find
        from redraft.training.data_parallel import joined
        from redraft.training.run import start

        values = dict(map(_change, changes))
        if device:
            values["device"] = device
        recipe = find(name)
        if dry_run:
            show_plan(changed(recipe.make_config(data, seed), values))
            return
        with joined() as parallel:
            if parallel.is_first:
                note(f"preparing {name}: making its data takes minutes where there is none")
            with parallel.first_alone():
                config = changed(recipe.config(out, data, seed), values)
                trainer = start(out, config, decay=decay, weights=weights, parallel=parallel)
            carry_out(trainer, **options)

    return command


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r}: want FIELD=VALUE, such as batch_size=16", param_hint="--set")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
