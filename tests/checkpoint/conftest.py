import json

import pytest

from redraft.checkpoint.save import save_model


@pytest.fixture
def checkpoint(make_model, tmp_path):
    """A small checkpoint's directory, single file, fp32."""
    return save_model(make_model(), tmp_path / "checkpoint")


@pytest.fixture
def edit():
    """A function that changes a JSON file: edit(path, key=value, ...); dots as `__`, None deletes."""

    def edit(path, **changes):
        values = json.loads(path.read_text())
        for key, value in changes.items():
            *parents, last = key.split("__")
            inner = values
            for parent in parents:
                inner = inner[parent]
            if value is None:
                inner.pop(last, None)
            else:
                inner[last] = value
        path.write_text(json.dumps(values))

    return edit
