"""Pictures of runs."""

import json

import pytest

from redraft.errors import LoadError
from redraft.training.plots import plot_metrics


def test_a_run_becomes_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [{"examples": 32 * i, "denoise": 2.0 / i, "grad_norm": 1.0, "lr": 1e-3} for i in range(1, 5)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = plot_metrics(tmp_path, tmp_path / "run.svg", unit="boards")
    assert path.read_text().lstrip().startswith("<?xml") and path.stat().st_size > 5000


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_folder_without_metrics_is_refused(tmp_path, is_empty):
    pytest.importorskip("matplotlib")
    if is_empty:
        (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(LoadError, match=r"metrics\.jsonl"):
        plot_metrics(tmp_path, tmp_path / "run.png")
