"""A picture of a run's metrics."""

import json
from pathlib import Path

from redraft.errors import InvalidRequest, LoadError

_CURVES = (("denoise", "denoising cross-entropy, nats"), ("grad_norm", "gradient norm"), ("lr", "learning rate"))


def plot_metrics(folder: str | Path, path: str | Path, unit: str = "examples") -> Path:
    """The path of the picture: loss, gradient norm and learning rate of a run over the examples it has seen.

    The suffix (.png, .svg, .pdf) says the format. Needs matplotlib: `pip install redraft[train]`.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InvalidRequest("plots need matplotlib: pip install 'redraft[train]'") from error
    metrics = Path(folder) / "metrics.jsonl"
    if not metrics.exists():
        raise LoadError(f"{folder} has no metrics.jsonl: want the folder of a run")
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    if not rows:
        raise LoadError(f"{metrics} has no lines yet")
    figure = Figure(figsize=(7, 7), layout="constrained")
    axes = figure.subplots(len(_CURVES), sharex=True)
    for axis, (name, label) in zip(axes, _CURVES, strict=True):
        axis.plot([row["examples"] for row in rows], [row[name] for row in rows], linewidth=1, marker=".", markersize=2)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_yscale("log")
    axes[-1].set_xlabel(unit)
    figure.savefig(path, dpi=120)
    return Path(path)
