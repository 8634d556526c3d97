"""Recipes by name, with how each makes its data; a recipe of the user's own; fields changed on the command line."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from redraft.errors import InvalidRequest
from redraft.training import mini_data, recipes
from redraft.training.config import RunConfig
from redraft.training.corpus import gather
from redraft.training.sudoku import save_paths

SUDOKU_PATHS = 16_000  # made where a run has no data file yet: some three minutes, and 23 puzzles a path
MINI_FORMS, MINI_TEXTS = 240_000, 160_000  # some fifteen minutes
FULL_FORMS, FULL_TEXTS = 2_000_000, 2_000_000  # hours


@dataclass(frozen=True)
class Recipe:
    """A function of data and seed that gives a whole run; data None gives a run to plan, not to train."""

    make_config: Callable[[str | Path | None, int], RunConfig]
    make_data: Callable[[Path, int], Path] | None = None  # in a run's folder, where it is not yet; returns where

    def config(self, out: str | Path, data: str | Path | None = None, seed: int = 0) -> RunConfig:
        """The run in folder `out`, on given data or on data that is made there, once."""
        if data is None and self.make_data is not None:
            data = self.make_data(Path(out), seed)
        return self.make_config(data, seed)


def find(name: str) -> Recipe:
    """The recipe of that name, or the function of a Python file (`my_recipes.py:small`)."""
    if name in RECIPES:
        return RECIPES[name]
    file, _, function = name.rpartition(":")
    if not file.endswith(".py"):
        raise InvalidRequest(
            f"recipe {name!r}: want one of {', '.join(RECIPES)}, or a function, such as my_recipes.py:small"
        )
    if not Path(file).is_file():
        raise InvalidRequest(f"recipe {name!r}: there is no file {file}")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, function, None)):
        raise InvalidRequest(f"recipe {name!r}: {file} has no function {function!r}")
    return Recipe(partial(_own, name, getattr(module, function)))


def changed(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """The config with other values of fields such as `batch_size` or `optimizer.peak_lr`, of the types they have."""
    for path, value in changes.items():
        outer, _, name = path.rpartition(".")
        holder: Any = getattr(config, outer, None) if outer else config
        kinds = get_type_hints(type(holder)) if is_dataclass(type(holder)) else {}
        if name not in kinds:
            raise InvalidRequest(f"{path}: want a field of {outer or 'a run'} ({', '.join(kinds) or 'there is none'})")
        part = replace(holder, **{name: _checked(path, value, kinds[name])})
        config = replace(config, **{outer: part}) if outer else part
    return config


def _checked(path: str, value: Any, kind: Any) -> Any:
    """The value, lists as tuples and whole numbers as fractions where those are wanted."""
    kinds = [get_origin(k) or k for k in (get_args(kind) if isinstance(kind, UnionType) else (kind,))]
    if tuple in kinds and isinstance(value, list):
        value = tuple(tuple(item) if isinstance(item, list) else item for item in value)
    if float in kinds and type(value) is int:
        value = float(value)
    if type(value) not in kinds:
        raise InvalidRequest(f"{path}={value!r}: want {getattr(kind, '__name__', kind)}")
    return value


def _own(name: str, function: Callable[[str | Path | None, int], Any], data: str | Path | None, seed: int) -> RunConfig:
    config = function(data, seed)
    if not isinstance(config, RunConfig):
        raise InvalidRequest(f"recipe {name!r} gave {type(config).__name__}: want a redraft.training.config.RunConfig")
    return config


def _sudoku_data(out: Path, seed: int) -> Path:
    path = out / "paths.npz"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        save_paths(path, SUDOKU_PATHS, seed)
    return path


def _mini_data(num_forms: int, num_texts: int, out: Path, seed: int) -> Path:
    folder = out / "data"
    if not (folder / "manifest.json").exists():
        corpus = out / "corpus"
        gather(corpus, seed)
        mini_data.prepare(folder, corpus, recipes.MODELS / "redraft-mini", num_forms, num_texts, seed=seed)
    return folder


RECIPES = {
    "sudoku": Recipe(recipes.sudoku, _sudoku_data),
    "mini": Recipe(recipes.mini_cpu, partial(_mini_data, MINI_FORMS, MINI_TEXTS)),
    **{
        f"mini-full-{stage}": Recipe(
            partial(recipes.mini_full, stage=stage), partial(_mini_data, FULL_FORMS, FULL_TEXTS)
        )
        for stage in range(3)
    },
}
