"""A task put to an engine in each of its settings -> a results file that says how to get the same numbers again."""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from redraft import __version__
from redraft.config import SamplingParams
from redraft.engine.engine import Engine
from redraft.evaluation.denoising import denoising_figures
from redraft.evaluation.metrics import Grade, by_group
from redraft.evaluation.tasks import Setting, Task

NUM_ASKED = 32  # questions under way at a time; the engine runs as many of them together as its max_batch says

Report = Callable[[str, int, int], None]  # setting, items graded, items in all


def evaluate(
    engine: Engine,
    task: Task,
    params: SamplingParams,
    *,
    count: int,
    seed: int = 0,
    num_noised: int = 64,
    report: Report = lambda setting, done, total: None,
) -> dict[str, Any]:
    """Results as plain values: per setting the figures of all items, of each bucket and of each level of the curve.

    `count` items of each kind, drawn from `seed`; item i is sampled with seed `seed + i`, the same in every setting. As
    replies do not depend on their company, the same questions one by one give the same results (fp32, CPU). Up to
    `num_noised` items, evenly spread, are also noised for the denoising cross-entropy; 0 leaves it out.
    """
    items = task.items(count, seed)
    settings = {}
    for name, setting in task.settings(params).items():
        wall, cpu = time.perf_counter(), time.process_time()
        rows = []
        for row in _graded(engine, task, items, setting, seed):
            rows.append(row)
            report(name, len(rows), len(items))
        settings[name] = {
            "params": setting.params.as_dict(),
            "seconds": round(time.perf_counter() - wall, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
            **by_group(items, rows),
        }
    results = {**describe(engine, task, count, seed), "items": len(items), "settings": settings}
    if num_noised:
        noised = items[:: -(-len(items) // num_noised)]
        results["denoising"] = denoising_figures(
            engine.model, [task.clean(engine, item) for item in noised], noised, seed
        )
    return results


def describe(engine: Engine, task: Task, count: int, seed: int) -> dict[str, Any]:
    """What was measured, on what: the head of a results file."""
    return {
        "task": task.name,
        "level": task.level,
        "model": engine.label,
        "weights_sha256": weights_digest(engine.path),
        "defaults": {name: value for name, value in asdict(engine.intake.defaults).items() if value is not None},
        "count": count,
        "seed": seed,
        "versions": versions(),
        "machine": platform.machine(),
    }


def weights_digest(directory: Path) -> str:
    """The hash of a checkpoint's shards in the order of their names: weights may change under the same name."""
    state = hashlib.sha256()
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def versions() -> dict[str, str]:
    """What a results file says it was made with."""
    return {"redraft": __version__, "torch": version("torch"), "python": platform.python_version()}


def write_results(results: Mapping[str, Any], path: str | Path) -> None:
    """Writes one results file."""
    Path(path).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _graded(
    engine: Engine, task: Task, items: Sequence[Any], setting: Setting, seed: int
) -> Iterator[dict[str, Grade]]:
    def ask(i: int):
        return setting.ask(engine, items[i], replace(setting.params, seed=seed + i))

    with ThreadPoolExecutor(NUM_ASKED) as threads:
        for item, reply in zip(items, threads.map(ask, range(len(items))), strict=True):
            yield task.grade(item, reply)
