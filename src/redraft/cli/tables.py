"""Results of an evaluation as tables for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click


def print_results(results: Mapping[str, Any]) -> None:
    """What was measured; then per setting a row for each group, or for a sweep of the sampler a grid."""
    click.echo(f"{results['task']}, {results['count']} of each kind, {results['items']} in all, {results['model']}")
    if results["task"] == "sampler":
        _print_sweep(results["settings"])
        return
    for name, setting in results["settings"].items():
        click.echo(f"\n{name}, {setting['cpu_seconds']:.0f} s of processor time")
        _print_groups(setting["figures"])
    if results["level"]:
        _print_curve(results)
    for name, noised in results.get("denoising", {}).items():
        groups = noised["figures"]
        number = next(iter(groups["all"].values()))["count"]
        click.echo(f"\ndenoising cross-entropy by noise proportion, {name}: nats per position, {number} items")
        _print_groups(groups)


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """Rows of equal length, indented, their columns aligned."""
    listed = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    for row in listed:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        click.echo(("  " + "  ".join(cells)).rstrip())


def _print_groups(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """A row for each group, a column for each figure; the first one, if a rate, with its interval."""
    names = list(figures["all"])
    known = [name for name in names if figures["all"][name] is not None]
    head = ["", *(name.replace("_", " ") for name in known)]
    rows = ([group, _long(row[known[0]]), *(_short(row[name]) for name in known[1:])] for group, row in figures.items())
    print_table([head, *rows])


def _print_curve(results: Mapping[str, Any]) -> None:
    """The main figure by level, a column for each setting."""
    settings = results["settings"]
    curves = [setting["curve"] for setting in settings.values()]
    main = next(iter(next(iter(curves[0].values()))))
    click.echo(f"\n{main} by number of {results['level']}")
    rows = ([level, *(_short(curve[level][main]) for curve in curves)] for level in curves[0])
    print_table([["", *settings], *rows])


def _print_sweep(settings: Mapping[str, Mapping[str, Any]]) -> None:
    """The main figure and the steps taken, a row for each entropy bound, a column for each step limit."""
    cells = {
        (setting["params"]["entropy_bound"], setting["params"]["max_denoising_steps"]): setting["figures"]["all"]
        for setting in settings.values()
    }
    bounds, caps = (list(dict.fromkeys(column)) for column in zip(*cells, strict=True))
    main = next(iter(cells[bounds[0], caps[0]]))
    for figure in (main, "steps"):
        click.echo(f"\n{figure}, by entropy bound (nats) and most denoising steps")
        rows = ([f"{bound:g}", *(_short(cells[bound, cap][figure]) for cap in caps)] for bound in bounds)
        print_table([["", *map(str, caps)], *rows])


def _short(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "none"
    if "share" in figure:
        return "none" if figure["share"] is None else f"{figure['share']:.1%}"
    return f"{figure['mean']:.3g}"


def _long(figure: Mapping[str, Any] | None) -> str:
    if figure is None or "share" not in figure:
        return _short(figure)
    low, high = figure["interval"]
    return f"{_short(figure)} ({low:.1%} to {high:.1%}, {figure['successes']} of {figure['count']})"
