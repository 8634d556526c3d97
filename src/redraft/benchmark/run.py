"""The whole benchmark of one model: all sides in one run, on real prompts."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch

from redraft.benchmark.breakdown import step_breakdown
from redraft.benchmark.cases import Case
from redraft.benchmark.floor import Product, products, run_products
from redraft.benchmark.machine import peak_memory, this_machine
from redraft.benchmark.measure import (
    MANY,
    Run,
    canvas_seconds,
    deliveries,
    paces,
    prefill_milliseconds,
    take_turns,
)
from redraft.benchmark.opponents import Transformers, transformers_version
from redraft.benchmark.report import CaseReport, Report
from redraft.config import PREFILL_CHUNK, SamplingParams
from redraft.engine.engine import Engine
from redraft.engine.loading import load
from redraft.errors import InvalidRequest
from redraft.kernels.native import native_state


def run_benchmark(
    cases: Sequence[Case], *, command: str, num_steps: int, repeats: int, seed: int, against: bool, steps: Sequence[int]
) -> Report:
    """Measures every case; `against`: also transformers on the same checkpoint, where it is installed.

    steps: the steps per canvas at which diffusion is compared with left-to-right decoding.
    """
    version = transformers_version() if against else None
    return Report(
        command=command,
        seed=seed,
        num_steps=num_steps,
        repeats=repeats,
        machine=this_machine(),
        opponents={"transformers": version} if against else {},
        cases=[
            run_case(case, num_steps=num_steps, repeats=repeats, seed=seed, against=version is not None, steps=steps)
            for case in cases
        ],
    )


def run_case(case: Case, *, num_steps: int, repeats: int, seed: int, against: bool, steps: Sequence[int]) -> CaseReport:
    """One model. What is delivered and memory come first, before other engines and transformers are loaded."""
    (default, options), *others = _sides().items()
    with ExitStack() as stack:
        engine = stack.enter_context(load(case.model, **options))
        model, prompt_ids = engine.model, _timed_prompt(engine, case)
        delivered = deliveries(engine, case.workload.prompts, SamplingParams(seed=seed)) if case.is_trained else {}
        prefill = prefill_milliseconds(engine, prompt_ids, repeats)
        peak = peak_memory(model.device)
        engines = {default: engine}
        engines |= {name: stack.enter_context(load(case.model, **options)) for name, options in others}
        opponent = None
        if against:
            opponent = Transformers(engine.path, str(model.dtype).removeprefix("torch."), model.device.type)
            opponent.choose_fastest(prompt_ids)
        floor = products(model.config, model.canvas_length, len(prompt_ids), model.dtype, model.device)
        return CaseReport(
            name=case.name,
            model=engine.label.replace(case.model, case.name),  # a random model's own directory is gone soon
            workload=case.workload.name,
            canvas_length=model.canvas_length,
            prompt_tokens=len(prompt_ids),
            prefill_ms=prefill,
            peak_memory=peak,
            steps=take_turns(_runs(engines, floor, opponent, prompt_ids, num_steps), num_steps, repeats),
            implementations=opponent.tried if opponent else {},
            breakdown={
                name: step_breakdown(engine, partial(canvas_seconds, engine, prompt_ids, num_steps), num_steps, repeats)
                for name, engine in engines.items()
            },
            floor_breakdown=_floor_breakdown(floor, repeats),
            deliveries=delivered,
            paces=paces(engine, prompt_ids, steps, repeats),
        )


def _sides() -> Mapping[str, Mapping[str, Any]]:
    """How each of our sides is loaded, the default first."""
    low = {"redraft bf16": {"dtype": "bfloat16"}}
    if torch.cuda.is_available():
        return low
    plain = {"redraft fp32, plain torch": {"dtype": "float32", "kernels": "torch"}}
    return {"redraft fp32": {"dtype": "float32"}, **low, **(plain if native_state().is_usable else {})}


def _timed_prompt(engine: Engine, case: Case) -> list[int]:
    """Ids of the case's first prompt; InvalidRequest where an engine would remember a part of it between runs."""
    prompt_ids = engine.tokenizer.encode_prompt(case.workload.prompts[0])
    if len(prompt_ids) >= PREFILL_CHUNK:
        raise InvalidRequest(
            f"prompt of {len(prompt_ids)} tokens: want fewer than {PREFILL_CHUNK}, since an engine remembers that many "
            "and other sides encode them every time"
        )
    return prompt_ids


def _runs(
    engines: Mapping[str, Engine],
    floor: Mapping[str, Sequence[Product]],
    opponent: Transformers | None,
    prompt_ids: Sequence[int],
    num_steps: int,
) -> dict[str, Run]:
    """What is timed, by name: one canvas of `num_steps` steps on every side."""
    runs: dict[str, Run] = {
        "products": lambda: sum(sum(run_products(floor).values()) for _ in range(num_steps)),
    }
    for name, engine in engines.items():
        runs[name] = partial(canvas_seconds, engine, prompt_ids, num_steps)
        runs[f"{name}, {MANY} at once"] = partial(canvas_seconds, engine, prompt_ids, num_steps, MANY)
    if opponent is not None:
        runs["transformers"] = partial(opponent.seconds, prompt_ids, num_steps)
    return runs


def _floor_breakdown(floor: Mapping[str, Sequence[Product]], repeats: int) -> dict[str, float]:
    """Milliseconds of the bare products of each component."""
    passes = [run_products(floor) for _ in range(10 * repeats)]
    return {component: min(each[component] for each in passes) * 1e3 for component in floor}
