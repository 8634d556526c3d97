"""The whole benchmark: both sides in one run, on real prompts."""

from importlib import metadata

from redraft.benchmark.machine import peak_memory, this_machine
from redraft.benchmark.measure import deliveries, prefill_milliseconds, step_times
from redraft.benchmark.opponents import Transformers, has_transformers
from redraft.benchmark.report import Report
from redraft.benchmark.workload import Workload
from redraft.config import SamplingParams
from redraft.engine.engine import Engine


def run_benchmark(
    engine: Engine, workload: Workload, *, command: str, num_steps: int, repeats: int, seed: int, against: bool
) -> Report:
    """Measures an engine; `against`: also transformers on the same checkpoint, where it is installed.

    Delivered figures and memory come first, before transformers is loaded into the process.
    """
    model = engine.model
    prompt_ids = engine.tokenizer.encode_prompt(workload.prompts[0])
    delivered = deliveries(engine, workload.prompts, SamplingParams(seed=seed))
    prefill = prefill_milliseconds(engine, prompt_ids, repeats)
    peak = peak_memory(model.device)
    opponent = None
    if against and has_transformers():
        opponent = Transformers(engine.path, str(model.dtype).removeprefix("torch."), model.device.type)
    return Report(
        command=command,
        model=engine.label,
        workload=workload.name,
        seed=seed,
        num_steps=num_steps,
        repeats=repeats,
        canvas_length=model.canvas_length,
        prompt_tokens=len(prompt_ids),
        machine=this_machine(),
        opponents={"transformers": metadata.version("transformers") if opponent else None} if against else {},
        steps=step_times(engine, prompt_ids, num_steps, repeats, opponent),
        prefill_ms=prefill,
        deliveries=delivered,
        peak_memory=peak,
    )
