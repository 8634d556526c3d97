"""Tasks x sampling parameters -> a results file that says how to get the same numbers again."""

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from redraft import __version__
from redraft.config import SamplingParams
from redraft.engine.engine import Engine
from redraft.evaluation.tasks import Task
from redraft.reply import Reply


def evaluate(
    engine: Engine,
    task: Task,
    settings: Mapping[str, SamplingParams],
    *,
    count: int,
    seed: int = 0,
    command: str | None = None,
    report: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Results as plain values: per setting, over all items and per bucket; versions, device, seeds, command.

    `count` items per bucket, drawn from `seed`; item i is sampled with seed `seed + i`, the same in every setting.
    """
    items = task.items(count, seed)
    buckets = list(dict.fromkeys(item.bucket for item in items))
    results: dict[str, Any] = {}
    label = ""
    for name, params in settings.items():
        replies = _replies(engine, [item.prompt for item in items], params, seed)
        label = replies[0].model
        chosen = {"all": range(len(items))}
        chosen |= {bucket: [i for i, item in enumerate(items) if item.bucket == bucket] for bucket in buckets}
        figures = {
            group: task.summary([items[i] for i in rows], [replies[i] for i in rows]) for group, rows in chosen.items()
        }
        results[name] = {"params": params.as_dict(), "figures": figures}
        if report is not None:
            report(name)
    return {
        "task": task.name,
        "model": label,
        "count_per_bucket": count,
        "seed": seed,
        "command": command,
        "versions": versions(),
        "machine": platform.machine(),
        "settings": results,
    }


def versions() -> dict[str, str]:
    """What a results file says it was made with."""
    return {"redraft": __version__, "torch": version("torch"), "python": platform.python_version()}


def write_results(results: Mapping[str, Any], path: str | Path) -> None:
    """Writes one results file."""
    Path(path).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def one_step_and_refined(params: SamplingParams) -> dict[str, SamplingParams]:
    """Two settings that differ in the number of denoising steps alone: what refinement is worth."""
    return {"one step": replace(params, max_denoising_steps=1), "refined": params}


def _replies(engine: Engine, prompts: Sequence[str], params: SamplingParams, seed: int) -> list[Reply]:
    each = [replace(params, seed=seed + i, record_trace=True) for i in range(len(prompts))]
    return engine.generate(list(prompts), each)
