"""`redraft train finetune`: a checkpoint and lines of examples in, an adapter or a whole model out."""

from typing import Any

import click

from redraft.cli.options import model_option
from redraft.cli.training import carry_out, run_options, show_plan

TARGETS = ("attention", "dense", "experts", "self_conditioning")


@click.command()
@model_option
@click.option(
    "--data", type=click.Path(exists=True, dir_okay=False), required=True, help="JSONL, one example per line."
)
@click.option("--full", is_flag=True, help="Train all weights but the routers, instead of an adapter.")
@click.option("--rank", type=click.IntRange(1), help="Rank of the adapter, 8.")
@click.option("--alpha", type=click.FloatRange(0, min_open=True), help="The adapter is scaled by alpha / rank; 2 rank.")
@click.option("--adapt", metavar="PARTS", help=f"What the adapter changes: {','.join(TARGETS)} (all).")
@click.option(
    "--epochs", type=click.FloatRange(0, min_open=True), default=3.0, show_default=True, help="Times through the data."
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=3e-4,
    show_default=True,
    help="Peak learning rate; small models want more.",
)
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True, help="Examples per forward.")
@click.option("--accumulate", type=click.IntRange(1), default=1, show_default=True, help="Forwards per update.")
@click.option("--recompute", is_flag=True, help="Run layers again in the backward pass: less memory, more time.")
@run_options
def finetune(
    model: str, data: str, full: bool, rank: int | None, alpha: float | None, adapt: str | None,
    epochs: float, lr: float, batch_size: int,
    accumulate: int, recompute: bool, out: str, seed: int, device: str | None, dry_run: bool, **options: Any,
) -> None:  # fmt: skip
    """Fine-tune a checkpoint in the published layout on examples, of which only the answers are learned.

    A line is {"messages": [...]} with the answers of an assistant, through the checkpoint's chat template, or
    {"prompt": "...", "completion": "..."}. The adapter is written to the folder in PEFT's format; --export writes a
    whole model.
    """
    from redraft.training import recipes
    from redraft.training.data_parallel import joined
    from redraft.training.lora import LoraConfig
    from redraft.training.run import start

    given = {"--rank": rank, "--alpha": alpha, "--adapt": adapt}
    unused = [name for name, value in given.items() if full and value is not None]
    if unused:
        raise click.UsageError(f"{', '.join(unused)} with --full: all weights are trained, there is no adapter")
    rank = rank or 8
    parts = tuple(adapt.split(",")) if adapt else TARGETS
    config = recipes.finetune(
        data,
        seed,
        model=model,
        lora=None if full else LoraConfig(rank=rank, alpha=alpha or 2.0 * rank, targets=parts),
        epochs=epochs,
        peak_lr=lr,
        batch_size=batch_size,
        accumulate=accumulate,
        recompute=recompute,
        device=device or "auto",
    )
    if dry_run:
        show_plan(config)
        return
    with joined() as parallel:
        with parallel.first_alone():
            trainer = start(out, config, parallel=parallel)
        carry_out(trainer, **options)
