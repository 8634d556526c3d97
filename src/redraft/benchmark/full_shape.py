"""Times of the published 26B-A4B shape with random weights: prefill, denoising step, commit, bandwidth, memory.

One command for a machine with a GPU of 80 GB or more: `python -m redraft.benchmark.full_shape`. Weights are drawn on
the device, tensor by tensor, so there is nothing to download. What is timed is the engine's own step: runner, families,
paged cache, sampler and the one flag that is read back.
"""

import argparse
import json
import shlex
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from redraft.benchmark.fit import fit, num_parameters, released_config
from redraft.benchmark.machine import peak_memory, this_machine
from redraft.cache.pool import PagePool
from redraft.config import EngineConfig, GenerationDefaults, ModelConfig, SamplingParams
from redraft.diffusion.plain import Rules
from redraft.diffusion.predict import LogitRule
from redraft.diffusion.process import CounterDraws
from redraft.engine.assembly import page_pool, shipped_families
from redraft.engine.request import Phase, Request
from redraft.engine.runner import Runner
from redraft.errors import OutOfMemory, RedraftError
from redraft.model.transformer import DiffusionTransformer, random_model

NUM_CANVASES = 3  # of a reply: two of them are appended to the cache
DTYPE = torch.bfloat16


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One context and batch. Times are of all requests of the batch together, medians but for the prefill's sum."""

    context: int  # tokens of each prompt
    batch: int
    prefill_ms: float
    step_ms: float
    commit_ms: float
    bytes_per_step: int  # that a step cannot but read: weights, and the keys and values it sees
    gigabytes_per_second: float  # of those, by the step's time
    peak_memory: int  # bytes, weights included


def tiny_config() -> ModelConfig:
    """The same kinds of layer with small numbers, to try the command itself on any machine."""
    full = released_config()
    return replace(
        full,
        vocab_size=512,
        hidden_size=64,
        intermediate_size=96,
        moe_intermediate_size=32,
        num_experts=16,
        num_experts_per_token=2,
        num_heads=4,
        layers=tuple(replace(layer, num_kv_heads=2, head_dim=16) for layer in full.layers[4:6]),
        sliding_window=32,
        canvas_length=16,
        max_position_embeddings=4096,
    )


SHAPES: Mapping[str, Callable[[], ModelConfig]] = {"full": released_config, "tiny": tiny_config}


def make_model(config: ModelConfig, device: torch.device) -> DiffusionTransformer:
    """Random weights on the device; OutOfMemory, with the numbers, where a GPU is too small for them."""
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
        needed = fit(config, memory, "bfloat16")
        if not needed.fits:
            raise OutOfMemory(
                f"the device has {memory:,} bytes: want {needed.weights:,} for weights, {needed.working:,} for a step"
            )
    return random_model(config, device=device, dtype=DTYPE).eval().requires_grad_(False)


def measure(model: DiffusionTransformer, context: int, batch: int, num_steps: int) -> Figures:
    """One reply of NUM_CANVASES canvases of `num_steps` denoising steps for each of `batch` prompts of random ids."""
    if model.device.type == "cuda":
        torch.cuda.empty_cache()  # the pool is sized by what is free
        torch.cuda.reset_peak_memory_stats(model.device)
    requests = [unending_request(model, context, num_steps, seed) for seed in range(batch)]
    config = EngineConfig(max_batch=batch, fold_commits=False)
    pool = page_pool(model, config, requests[0].capacity)
    runner = Runner(model, shipped_families(model, config))
    taken = run_through(runner, pool, requests)
    num_bytes, step_ms = bytes_per_step(model.config, context, batch), statistics.median(taken[Phase.DENOISING])
    return Figures(
        context=context,
        batch=batch,
        prefill_ms=sum(taken[Phase.PREFILLING]),
        step_ms=step_ms,
        commit_ms=statistics.median(taken[Phase.APPENDING]),
        bytes_per_step=num_bytes,
        gigabytes_per_second=num_bytes / step_ms / 1e6,
        peak_memory=peak_memory(model.device),
    )


def run_through(runner: Runner, pool: PagePool, requests: Sequence[Request]) -> dict[Phase, list[float]]:
    """Milliseconds of every engine step until all requests, alike in length, have ended; by what the step did."""
    for request in requests:
        cache = pool.admit(request.prompt_ids, request.capacity, 0)
        assert cache is not None, "the pool was made for these requests"
        request.start_prefill(cache, runner.tensor(request.prompt_ids))
    taken: dict[Phase, list[float]] = defaultdict(list)
    while requests[0].phase is not Phase.FINISHED:
        does = Phase.DENOISING if requests[0].pending is None else requests[0].phase
        start = time.perf_counter()
        outcomes = runner.run(requests)
        finish(runner.model.device)
        taken[does].append((time.perf_counter() - start) * 1e3)
        for outcome in outcomes.values():
            if isinstance(outcome, RedraftError):
                raise outcome
    return taken


def bytes_per_step(config: ModelConfig, context: int, batch: int) -> int:
    """Bytes that one denoising step reads at least: every weight (a canvas of 256 rows meets all of 128 experts), the
    embedding table a second time for the soft embedding, and each request's keys and values, its canvas's own too.
    """
    numbers = num_parameters(config) + config.vocab_size * config.hidden_size
    for layer in config.layers:
        seen = min(context, config.sliding_window - 1) if layer.is_sliding else context
        numbers += batch * (seen + config.canvas_length) * 2 * layer.num_kv_heads * layer.head_dim
    return numbers * DTYPE.itemsize


def copy_bandwidth(device: torch.device) -> float:
    """GB/s of copying memory on the device, read and written, the best of ten: what the steps' figure stands beside."""
    source = torch.ones(2**30 if device.type == "cuda" else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(10):
        finish(device)
        start = time.perf_counter()
        target.copy_(source)
        finish(device)
        seconds.append(time.perf_counter() - start)
    return 2 * source.nbytes / min(seconds) / 1e9


def finish(device: torch.device) -> None:
    """Wait for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def unending_request(model: DiffusionTransformer, context: int, num_steps: int, seed: int) -> Request:
    """Random ids and rules that never end a canvas early."""
    given = SamplingParams(
        max_tokens=NUM_CANVASES * model.canvas_length,
        max_denoising_steps=num_steps,
        stability_threshold=num_steps,
        confidence_threshold=0.0,
        ignore_eos=True,
    )
    params = given.resolved(GenerationDefaults())
    generator = torch.Generator().manual_seed(seed)
    return Request(
        prompt_ids=tuple(torch.randint(model.vocab_size, (context,), generator=generator).tolist()),
        params=params,
        seed=seed,
        stop_ids=frozenset(),
        canvas_length=model.canvas_length,
        rules=Rules().filled(params, ()),
        logit_rule=LogitRule.from_params(params, (), model.vocab_size),
        draws=CounterDraws(seed, model.device),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures as JSON, and writes them to a file after every measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--shape", choices=SHAPES, default="full", help="tiny: to try the command itself")
    parser.add_argument("--context", type=int, nargs="+", default=[1024, 8192], help="tokens of each prompt")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4], help="requests at once")
    parser.add_argument("--steps", type=int, default=16, help="denoising steps of each of three canvases")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/full_shape.json"))
    options = parser.parse_args(arguments)
    device, given = torch.device(options.device), sys.argv[1:] if arguments is None else arguments
    model = make_model(SHAPES[options.shape](), device)
    results = {
        "command": shlex.join(["python", "-m", "redraft.benchmark.full_shape", *given]),
        "machine": asdict(this_machine()),
        "device": options.device,
        "shape": options.shape,
        "parameters": num_parameters(model.config),
        "kernels": model.kernels.name,
        "dtype": str(DTYPE).removeprefix("torch."),
        "denoising_steps": options.steps,
        "copy_gigabytes_per_second": copy_bandwidth(device),
        "figures": [],
    }
    measure(model, min(options.context), 1, num_steps=2)  # warms up
    for context in options.context:
        for batch in options.batch:
            results["figures"].append(asdict(measure(model, context, batch, options.steps)))
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
