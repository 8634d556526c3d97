"""The figures on the page of performance are those of the recorded runs."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
NAMES = ("cpu_sudoku", "cpu_random_64", "cpu_random_256")


def cells(label):
    """The cells after a label, of every table row that begins with it."""
    return [
        cell.strip() for line in PAGE.splitlines() if line.startswith(f"| {label} |") for cell in line.split("|")[2:]
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_gives_every_side_pace_and_component_of_a_recorded_run(name):
    report = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    assert {"python", "redraft", "torch"} <= report["machine"]["versions"].keys() and report["opponents"][
        "transformers"
    ]
    (case,) = report["cases"]
    products = case["steps"]["products"]["best"]
    for side, taken in case["steps"].items():
        label = {"products": "bare matrix products", "transformers": "transformers fp32"}.get(side, side)
        assert f"{taken['best']:.2f} ({taken['best'] / products:.2f}x)" in cells(label)
    for side, components in case["breakdown"].items():
        for component, milliseconds in components.items():
            assert f"{milliseconds:.2f}" in cells(component), (side, component)
    for pace in case["paces"]:
        label = "left to right" if pace["steps_per_canvas"] is None else pace["steps_per_canvas"]
        assert {f"{pace['one']:.0f}", f"{pace['many']:.0f}"} <= {cell.split(" (")[0] for cell in cells(label)}
