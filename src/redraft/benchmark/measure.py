"""Times engines on one model: a denoising step, tokens per second by steps per canvas, what a caller is delivered."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from redraft.config import SamplingParams
from redraft.engine.engine import Engine
from redraft.errors import InvalidRequest
from redraft.reply import Commit, Reply

Run = Callable[[], float]  # does something once, gives the seconds it took


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Milliseconds per denoising step, and per request where several run at once, over the repeats of one run."""

    best: float
    median: float


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What callers got for a workload, one request at a time, all counts summed over its prompts."""

    num_prompts: int
    tokens: int
    seconds: float
    tokens_per_second: float
    tokens_per_forward: float
    denoising_steps: int
    canvases: int
    converged: int  # canvases that the stop rule ended
    first_commit_seconds: float  # mean over prompts, from submission


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Tokens per second of one canvas's length, all requests of a batch together."""

    steps_per_canvas: int | None  # None: left to right, with the same weights
    one: float  # a request alone
    many: float  # MANY requests at once


MANY = 8  # requests at once


def take_turns(sides: Mapping[str, Run], num_steps: int, repeats: int) -> dict[str, StepTime]:
    """Milliseconds per step of every side. The first turn warms up and is not counted.

    Sides take turns, so that a machine that slows down slows all of them.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, run in sides.items():
            seconds = run()
            if turn:
                taken[name].append(seconds / num_steps * 1e3)
    return {name: StepTime(best=min(times), median=statistics.median(times)) for name, times in taken.items()}


def canvas_seconds(engine: Engine, prompt_ids: Sequence[int], num_steps: int, num_requests: int = 1) -> float:
    """Seconds per request of one canvas with exactly `num_steps` denoising steps, prefill included."""
    params = [
        SamplingParams(
            max_tokens=engine.model.canvas_length,
            max_denoising_steps=num_steps,
            stability_threshold=num_steps,  # a canvas of num_steps steps is never stable for that many
            confidence_threshold=0.0,
            ignore_eos=True,
            seed=seed,
        )
        for seed in range(num_requests)
    ]
    start = time.perf_counter()
    replies = engine.generate([list(prompt_ids)] * num_requests, params)
    seconds = time.perf_counter() - start
    for reply in replies:
        if reply.usage.denoising_steps != num_steps:
            raise InvalidRequest(
                f"{reply.usage.denoising_steps} denoising steps were run: want {num_steps}, as on all sides"
            )
    return seconds / num_requests


def paces(engine: Engine, prompt_ids: Sequence[int], steps: Sequence[int], repeats: int) -> list[Pace]:
    """Tokens per second by steps per canvas, and left to right; the best of `repeats` runs of each."""
    length = engine.model.canvas_length

    def pace(run: Callable[[int], float], num_steps: int | None) -> Pace:
        one, many = (min(run(number) for _ in range(repeats)) for number in (1, MANY))
        return Pace(steps_per_canvas=num_steps, one=length / one, many=length / many)

    by_steps = [pace(lambda number, n=n: canvas_seconds(engine, prompt_ids, n, number), n) for n in steps]
    return [*by_steps, pace(lambda number: _decode_seconds(engine, prompt_ids, number), None)]


def prefill_milliseconds(engine: Engine, prompt_ids: Sequence[int], repeats: int) -> float:
    """The best time of encoding a prompt into an empty cache."""
    model = engine.model
    input_ids = torch.tensor([list(prompt_ids)], device=model.device)

    @torch.inference_mode()
    def run() -> float:
        cache = model.new_cache(1, len(prompt_ids))
        start = time.perf_counter()
        model.encode(input_ids, cache, logits=False)
        if input_ids.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    run()
    return min(run() for _ in range(repeats)) * 1e3


def delivery(engine: Engine, prompts: Sequence[str], params: SamplingParams) -> Delivery:
    """Runs every prompt under the checkpoint's own rules; prompt number i has the seed of `params` plus i."""
    replies, first_commits, seconds = [], [], 0.0
    engine.generate(prompts[0], params)  # warms up
    for number, prompt in enumerate(prompts):
        seeded = replace(params, seed=(params.seed or 0) + number)
        start = time.perf_counter()
        replies.append(engine.generate(prompt, seeded))
        seconds += time.perf_counter() - start
        first_commits.append(_first_commit(engine, prompt, seeded))
    return _sum(replies, seconds, statistics.mean(first_commits))


def deliveries(engine: Engine, prompts: Sequence[str], params: SamplingParams) -> Mapping[str, Delivery]:
    """The workload by diffusion and, with the same weights and token budget, left to right."""
    return {
        "diffusion": delivery(engine, prompts, params),
        "autoregressive": delivery(engine, prompts, replace(params, decoding="autoregressive")),
    }


def _decode_seconds(engine: Engine, prompt_ids: Sequence[int], num_requests: int) -> float:
    """Seconds per request of as many tokens as a canvas holds, left to right, prefill included."""
    params = [
        SamplingParams(max_tokens=engine.model.canvas_length, decoding="autoregressive", ignore_eos=True, seed=seed)
        for seed in range(num_requests)
    ]
    start = time.perf_counter()
    engine.generate([list(prompt_ids)] * num_requests, params)
    return (time.perf_counter() - start) / num_requests


def _first_commit(engine: Engine, prompt: str, params: SamplingParams) -> float:
    start = time.perf_counter()
    for event in engine.stream(prompt, params):
        if isinstance(event, Commit):
            break
    return time.perf_counter() - start


def _sum(replies: Sequence[Reply], seconds: float, first_commit: float) -> Delivery:
    usages = [reply.usage for reply in replies]
    tokens = sum(usage.completion_tokens for usage in usages)
    return Delivery(
        num_prompts=len(replies),
        tokens=tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds,
        tokens_per_forward=tokens / sum(usage.forward_passes for usage in usages),
        denoising_steps=sum(usage.denoising_steps for usage in usages),
        canvases=sum(usage.canvases for usage in usages),
        converged=sum(sum(usage.converged) for usage in usages),
        first_commit_seconds=first_commit,
    )
