"""`redraft check`: this machine, and whether a model fits it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from redraft.checkpoint.fetch import shipped_models
from redraft.cli.options import default_model, json_option
from redraft.cli.output import print_json, waiting

if TYPE_CHECKING:
    from redraft.benchmark.fit import Fit
    from redraft.benchmark.machine import Machine
    from redraft.engine.selftest import SelfTest


@click.command(short_help="This machine, and whether a model fits it.")
@click.argument("model", required=False)
@click.option("--self-test", is_flag=True, help="Load the model and see whether replies depend on their company here.")
@json_option
def check(model: str | None, self_test: bool, as_json: bool) -> None:
    """Say what this machine has: device, memory, number formats, compiler, shipped models.

    With MODEL (a shipped model, a directory or a hub id), also whether it fits, at which precision and with how much
    context. Weights are not downloaded for it.
    """
    with waiting("looking ..."):
        from redraft.benchmark.fit import DTYPES, config_of, fit, num_parameters
        from redraft.benchmark.machine import this_machine

        machine = this_machine()
        config = config_of(model) if model else None
    promise = _self_test(model or default_model()) if self_test else None
    fits = [fit(config, machine.memory_free, dtype) for dtype in DTYPES] if config else []
    if as_json:
        record: dict[str, Any] = {**asdict(machine), "shipped_models": shipped_models()}
        if config:
            sizes = {"model": model, "parameters": num_parameters(config), "canvas_length": config.canvas_length}
            record["fit"] = {**sizes, "precisions": [{**asdict(one), "fits": one.fits} for one in fits]}
        if promise:
            record["self_test"] = {**asdict(promise), "holds": promise.holds}
        print_json(record)
        return
    for name, text in _facts(machine):
        click.echo(f"{name:<10}{text}")
    if config and model:
        longest = config.max_position_embeddings
        click.echo(f"\n{model}: {_short(num_parameters(config))} parameters, context up to {longest} tokens")
        for one in fits:
            click.echo(_verdict(one, machine))
    if promise:
        words = "does not depend" if promise.holds else "depends"
        click.echo(f"\nself-test: a reply {words} on its company ({promise.num_equal} of {promise.num_replies} equal)")


def _self_test(model: str) -> "SelfTest":
    with waiting(f"testing {model} ..."):
        from redraft.engine.loading import load
        from redraft.engine.selftest import batch_invariance

        with load(model) as engine:
            return batch_invariance(engine)


def _facts(machine: "Machine") -> list[tuple[str, str]]:
    fast = "in hardware" if machine.has_fast_bfloat16 else "emulated, slow"
    cores = f"{machine.num_cores} cores, {machine.num_threads} threads"
    compiler = machine.compiler or "none found"
    return [
        (
            "redraft",
            f"{machine.versions['redraft']}, torch {machine.versions['torch']}, Python {machine.versions['python']}",
        ),
        ("device", f"{machine.device}: {machine.device_name}" + (f", {cores}" if machine.device == "cpu" else "")),
        ("memory", f"{_short(machine.memory_free)}B free of {_short(machine.memory_total)}B"),
        ("dtypes", f"{machine.default_dtype} by default; bfloat16 {fast}"),
        ("compiler", f"{compiler}, ninja {'found' if machine.has_ninja else 'not found'}"),
        ("kernels", f"{machine.kernels}: {machine.kernels_reason}"),
        ("models", ", ".join(shipped_models()) or "none shipped"),
    ]


def _verdict(fit: "Fit", machine: "Machine") -> str:
    needs = (
        f"weights {_short(fit.weights)}B, cache {_short(fit.cache_of_window)}B + {_short(fit.cache_per_token)}B/token, "
        f"{_short(fit.working)}B to work in"
    )
    free = f"{_short(machine.memory_free)}B"
    verdict = f"fits in {free} with {fit.context} tokens of context" if fit.fits else f"does not fit in {free}"
    return f"  {fit.dtype:<9} {needs}\n{'':<12}{verdict}"


def _short(number: float) -> str:
    """Three digits and a decimal prefix: 25.3 G, 922 k."""
    for prefix in ("", "k", "M", "G"):
        if number < 999.5 or prefix == "G":
            break
        number /= 1000
    return f"{number:.3g} {prefix}"
