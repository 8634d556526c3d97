"""The examples of the documentation run as they are printed, on random weights: they promise forms, not sense."""

import re
from pathlib import Path

import pytest

import redraft

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", ["constraints.md"])
def test_examples_run(page, text_engine, monkeypatch):
    monkeypatch.setattr(redraft, "load", lambda name: text_engine, raising=False)
    names: dict[str, object] = {}
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)
