"""Recipes by name: data made once, a user's own function, fields changed by name."""

import pytest

from redraft.errors import InvalidRequest, LoadError
from redraft.training import catalog
from redraft.training.catalog import RECIPES, changed, find
from redraft.training.config import RunConfig


@pytest.fixture
def config() -> RunConfig:
    return RECIPES["sudoku"].make_config(None, 0)


def test_data_is_made_once_and_then_found(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "SUDOKU_PATHS", 8)
    first = find("sudoku").config(tmp_path)
    made = (tmp_path / "paths.npz").stat().st_mtime_ns
    assert find("sudoku").config(tmp_path).source.describe() == first.source.describe()
    assert (tmp_path / "paths.npz").stat().st_mtime_ns == made


@pytest.mark.parametrize("content", [None, b"no archive", b"PK\x03\x04 half of one"])
def test_data_that_cannot_be_read_is_refused_by_name(tmp_path, content):
    path = tmp_path / "paths.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LoadError, match=r"paths\.npz cannot be read as data.*want the arrays grids, ranks, held_out"):
        find("sudoku").config(tmp_path, data=path)
    with pytest.raises(LoadError, match=r"forms\.npz cannot be read"):
        find("mini").config(tmp_path, data=tmp_path)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_planned_without_data(name):
    config = find(name).make_config(None, 3)
    assert config.source.describe()["kind"] == "blank"
    assert all(len(group) == config.batch_size for group in config.source.batch(0, config.batch_size))


def test_the_stages_of_the_full_model_follow_each_other():
    stages = [find(f"mini-full-{stage}").make_config(None, 0) for stage in range(3)]
    assert len({stage.model for stage in stages}) == 1
    assert [stage.last_update for stage in stages] == [4_000, 12_000, 3_000]
    assert [stages[0].canvas_length(update) for update in (0, 1_000, 3_999)] == [16, 32, 64]
    assert [stage.optimizer.lr(stage.last_update - 1) < 1e-6 for stage in stages] == [False, False, True]


OWN = """
from dataclasses import replace
from redraft.training.recipes import sudoku

def small(data, seed):
    return replace(sudoku(data, seed), name=f"small {seed}", batch_size=2)

def wrong(data, seed):
    return "no config"
"""


def test_a_function_of_a_file_is_a_recipe(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    config = find(f"{file}:small").config(tmp_path, None, 5)
    assert (config.name, config.batch_size) == ("small 5", 2)
    with pytest.raises(InvalidRequest, match="gave str"):
        find(f"{file}:wrong").config(tmp_path)
    with pytest.raises(InvalidRequest, match="no function 'other'"):
        find(f"{file}:other")
    with pytest.raises(InvalidRequest, match="there is no file"):
        find(f"{tmp_path}/none.py:small")
    with pytest.raises(InvalidRequest, match="want one of sudoku"):
        find("chess")


def test_fields_change_by_name(config):
    other = changed(config, {"batch_size": 8, "optimizer.peak_lr": 1, "canvas_lengths": [[0, 8]], "updates": 5})
    assert (other.batch_size, other.optimizer.peak_lr, other.updates) == (8, 1.0, 5)
    assert other.canvas_lengths == ((0, 8),)
    assert other.optimizer.warmup == config.optimizer.warmup


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("batch_sice", 8, "batch_sice: want a field of a run"),
        ("optimizer.rate", 1.0, "want a field of optimizer"),
        ("nothing.rate", 1.0, "there is none"),
        ("batch_size", "many", "batch_size='many': want int"),
        ("updates", "many", "want int | None"),
        ("recompute", 1, "want bool"),
        ("batch_size", True, "want int"),
        ("batch_size", 0, "batch_size=0"),
    ],
)
def test_a_change_of_no_field_or_to_no_value_is_refused(config, field, value, said):
    with pytest.raises(InvalidRequest) as caught:
        changed(config, {field: value})
    assert said in str(caught.value)
