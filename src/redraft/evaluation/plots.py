"""Pictures of results files, where a curve says more than a table."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from redraft.errors import InvalidRequest


def plot(results: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """The path of the picture; its suffix (.png, .svg, .pdf) says the format.

    One results file: rates by level (Sudoku: by givens), by step limit (the sampler), or else the denoising
    cross-entropy by noise proportion. Several files of one task: its main rate by training size, for which each must
    say `trained_on`. Needs matplotlib: `pip install redraft[train]`.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InvalidRequest("plots need matplotlib: pip install 'redraft[train]'") from error
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    first = results[0]
    if len(results) > 1:
        _by_training_size(axis, results)
    elif first["task"] == "sampler":
        _by_step_limit(axis, first)
    elif first["level"]:
        _by_level(axis, first)
    else:
        _by_noise(axis, first)
    axis.set_title(first["task"] if len(results) > 1 else f"{first['task']}, {first['model']}", fontsize="medium")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    return Path(path)


def _by_level(axis: Any, results: Mapping[str, Any]) -> None:
    for name, setting in results["settings"].items():
        curve = setting["curve"]
        places, rates = [int(level) for level in curve], [_main(row)[1] for row in curve.values()]
        line = _rates(axis, places, rates, name)
        low, high = zip(*(rate["interval"] for rate in rates), strict=True)
        axis.fill_between(places, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axis.set_xlabel(f"number of {results['level']}")
    axis.set_ylabel(_main_name(results))


def _by_step_limit(axis: Any, results: Mapping[str, Any]) -> None:
    bounds: dict[float, dict[int, Mapping[str, Any]]] = {}
    for setting in results["settings"].values():
        params = setting["params"]
        rate = _main(setting["figures"]["all"])[1]
        bounds.setdefault(params["entropy_bound"], {})[params["max_denoising_steps"]] = rate
    for bound, rates in bounds.items():
        _rates(axis, list(rates), rates.values(), f"entropy bound {bound:g} nats")
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(rates), list(map(str, rates)))
    axis.set_xlabel("most denoising steps")
    axis.set_ylabel(_main_name(results))


def _by_training_size(axis: Any, results: Sequence[Mapping[str, Any]]) -> None:
    tasks = {result["task"] for result in results}
    if len(tasks) > 1:
        raise InvalidRequest(f"results of {', '.join(sorted(tasks))}: want those of one task")
    if any(result.get("trained_on") is None for result in results):
        raise InvalidRequest(
            "results without trained_on: want --trained-on when they are made, to plot by training size"
        )
    ordered = sorted(results, key=lambda result: result["trained_on"])
    setting = next(iter(ordered[0]["settings"]))
    for group in ordered[0]["settings"][setting]["figures"]:
        rates = [_main(result["settings"][setting]["figures"][group])[1] for result in ordered]
        _rates(axis, [result["trained_on"] for result in ordered], rates, group)
    axis.set_xlabel("examples trained on")
    axis.set_ylabel(f"{_main_name(results[0])}, {setting}")


def _by_noise(axis: Any, results: Mapping[str, Any]) -> None:
    if "denoising" not in results:
        raise InvalidRequest(f"results of {results['task']}: no curve in them")
    for setting, style in zip(results["denoising"], ("-", "--"), strict=True):
        for i, (group, row) in enumerate(results["denoising"][setting]["figures"].items()):
            values = [figure["mean"] for figure in row.values()]
            axis.plot([float(t) for t in row], values, style, color=f"C{i}", label=f"{group}, {setting}")
    axis.set_xlabel("noise proportion")
    axis.set_ylabel("cross-entropy, nats per position")


def _rates(axis: Any, places: Sequence[float], rates: Iterable[Mapping[str, Any]], label: str) -> Any:
    """The line of shares that it draws."""
    axis.set_ylim(-0.02, 1.02)
    return axis.plot(places, [rate["share"] for rate in rates], marker="o", markersize=3, label=label)[0]


def _main(row: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """A task's main grade, which comes first."""
    return next(iter(row.items()))


def _main_name(results: Mapping[str, Any]) -> str:
    setting = next(iter(results["settings"].values()))
    return _main(setting["figures"]["all"])[0].replace("_", " ")
