"""What a constraint adds to a denoising step: both makers of Prediction on the same random logits, in one run.

    python -m redraft.benchmark.constrained_step [--vocab 4096 32768 262144] [--repeats 5] [--out FILE]

One canvas of 256 positions, one thread, fp32, plain torch and, where it can be built, the native suite. A whole step is
the stack and the head of the 22.6 M shape (random weights) and a maker, whose times include the soft embedding; what
accepts and renoises takes no part. Sides take turns and the best turn of each counts, in milliseconds of processor
time, so that a busy machine changes little.
"""

import argparse
import json
import random
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

import redraft
from redraft.benchmark.machine import this_machine
from redraft.config import ModelConfig
from redraft.constraints import inference
from redraft.constraints.compiled import compile_constraint
from redraft.constraints.inference import ConstrainedRows, PlacedLattice, place, predict_constrained
from redraft.constraints.lattice import unroll
from redraft.constraints.messages import Joined, backward, forward
from redraft.constraints.spec import JSONSchema, Regex, TextConstraint
from redraft.constraints.vocabulary import Vocabulary
from redraft.diffusion.predict import LogitRule, predict, tempered_logits
from redraft.diffusion.process import CounterDraws, Place
from redraft.errors import LoadError
from redraft.kernels.native import native_suite
from redraft.kernels.random import Stream
from redraft.kernels.suite import PLAIN, Kernels
from redraft.model.masks import Role, Segment
from redraft.model.transformer import DiffusionTransformer, PackedBatch, random_model
from redraft.shapes import Float, Tensor
from redraft.text.tokenizer import Tokenizer
from redraft.training.recipes import mini_full_model

CANVAS_LENGTH, PROMPT_LENGTH, BUDGET = 256, 64, 1024  # tokens
TEMPERATURE = 0.8
LARGEST_WHOLE = 65_536  # ids; beyond, only the makers are timed
MINI = Path(redraft.__file__).parent / "models" / "redraft-mini"
PLACE = Place(0, 0)


def constraints() -> dict[str, TextConstraint]:
    """The four languages timed."""
    return {
        "date": Regex(r"\d{4}-\d{2}-\d{2}"),
        "line of at most 30": Regex(r"[^\n]{0,30}"),
        "JSON of 7 fields": JSONSchema(_object(7)),
        "JSON of 30 fields": JSONSchema(_object(30)),
    }


def _object(num_fields: int) -> dict[str, Any]:
    kinds = (
        {"type": "string", "maxLength": 20},
        {"type": "integer"},
        {"type": "boolean"},
        {"enum": ["red", "green", "blue"]},
        {"type": "number"},
        {"type": "string", "format": "date"},
        {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
    )
    properties = {f"field{i}": kinds[i % len(kinds)] for i in range(num_fields)}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def byte_vocabulary(size: int) -> Vocabulary:
    """redraft-mini's for its size; else made up: every byte, words of syllables, runs of other scripts, an end id."""
    if size == mini_full_model().vocab_size:
        return Vocabulary(Tokenizer.from_directory(MINI).token_bytes)
    rng, texts = random.Random(size), [" " * n for n in range(2, 9)] + ['": "', '", "', '": ', '{"', '"}', '",', "],"]
    found = dict.fromkeys(text.encode() for text in texts)
    while len(found) < size - 257:
        if rng.random() < 0.7:
            syllables = (rng.choice("bcdfghklmnprstvwz") + rng.choice("aeiouy") for _ in range(rng.randint(1, 5)))
            text = rng.choice(("", " ")) + "".join(syllables) + rng.choice(("", "s", "n", "d"))
        else:
            first = rng.choice((0x0400, 0x0900, 0x4E00))
            text = "".join(chr(first + rng.randrange(0x50)) for _ in range(rng.randint(1, 4)))
        found[text.encode()] = None
    return Vocabulary([None, *(bytes([i]) for i in range(256)), *found][:size])


def end_id(vocabulary: Vocabulary) -> int:
    """The id that ends a text: <eos> of redraft-mini, 0 where the vocabulary is made up."""
    return 1 if vocabulary.size == mini_full_model().vocab_size else 0


@dataclass(frozen=True)
class Step:
    """What one denoising step works on."""

    model: DiffusionTransformer  # its kernels are those of the free maker, too
    logits: Float[Tensor, "C V"]
    rule: LogitRule

    @property
    def draws(self) -> CounterDraws:
        return CounterDraws(0)

    def stack_and_head(self) -> Callable[[], object]:
        """The forward pass that a maker's logits come from."""
        canvas_length, device = len(self.logits), self.logits.device
        cache = self.model.new_cache(1, PROMPT_LENGTH + canvas_length)
        self.model.encode(torch.arange(PROMPT_LENGTH, device=device)[None], cache, logits=False)
        ids = self.draws.first_canvas(0, canvas_length, self.model.vocab_size)
        signal = torch.randn(canvas_length, self.model.config.hidden_size, generator=torch.Generator().manual_seed(1))
        batch = PackedBatch(ids, signal, (Segment(0, 1, canvas_length, Role.DENOISE, cache),))
        return lambda: self.model.head(self.model.hidden(batch))

    def free(self) -> object:
        """The maker without a constraint, and the soft embedding."""
        make = self.model.kernels.statistics
        prediction = predict(self.logits, TEMPERATURE, self.rule, self.draws, PLACE, make=make)
        return self.model.soft_embedding(prediction.signal)

    def constrained(self, placed: PlacedLattice) -> object:
        """The maker under a constraint, and the soft embedding."""
        return self.model.soft_embedding(predict_constrained(self.rows(placed)).prediction.signal)

    def rows(self, placed: PlacedLattice) -> ConstrainedRows:
        """Tempered logits, new ones each time, with the draw's numbers."""
        streams = (Stream.EDGE, Stream.CLASS, Stream.TOKEN)
        return ConstrainedRows(
            tempered=tempered_logits(self.logits, TEMPERATURE, self.rule),
            placed=placed,
            uniforms=torch.stack([self.draws.uniforms(PLACE, len(self.logits), stream) for stream in streams]),
        )

    def stages(self, placed: PlacedLattice) -> dict[str, float]:
        """Milliseconds of the constrained maker's stages: what predict_constrained calls, one after another."""
        clock = [time.process_time()]

        def lap(result: Any) -> Any:
            clock.append(time.process_time())
            return result

        rows = lap(self.rows(placed))
        evidence = lap(inference._evidence(rows))
        joined = Joined((placed.lattice,))
        log_z, transition = backward(joined, joined.weights([evidence.masses.weights]))
        taken, crossing = lap(forward(joined, transition))
        best = inference._best_paths(joined, [evidence], crossing)
        (sample,) = lap(inference._samples([evidence], [transition], [best[0][1]]))
        prediction = lap(inference._prediction(evidence, taken[0], best[0][1], sample, float(log_z[0])))
        lap(self.model.soft_embedding(prediction.signal))
        names = ("tempering", "class statistics", "recursions", "draw and best path", "conditioning", "soft embedding")
        return {name: (b - a) * 1e3 for name, a, b in zip(names, clock, clock[1:], strict=False)}


def new_step(shape: ModelConfig, kernels: Kernels, seed: int = 0) -> Step:
    """Random weights of a shape, and random logits in which one token stands out at every position."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape.canvas_length, shape.vocab_size, generator=generator) * 2
    chosen = torch.randint(shape.vocab_size, (shape.canvas_length, 1), generator=generator)
    logits.scatter_add_(1, chosen, torch.full(chosen.shape, 10.0))
    model = random_model(shape, seed).requires_grad_(False)
    model.use(kernels)
    return Step(model, logits, LogitRule(vocab_size=shape.vocab_size))


def placed_lattice(constraint: TextConstraint, vocabulary: Vocabulary, canvas_length: int) -> PlacedLattice:
    """The constraint's first canvas, with several to come."""
    stop_ids = (end_id(vocabulary),)
    automaton = compile_constraint(constraint, vocabulary, stop_ids).automaton
    return place(unroll(automaton, automaton.start, canvas_length, BUDGET, stop_ids[0]))


@torch.inference_mode()
def measure(
    shape: ModelConfig, asked: Mapping[str, TextConstraint], repeats: int, in_stages: bool, kernels: Kernels = PLAIN
) -> dict[str, Any]:
    """The figures of one vocabulary and suite; `in_stages`: with those of each stage."""
    step, vocabulary = new_step(shape, kernels), byte_vocabulary(shape.vocab_size)
    placed = {name: placed_lattice(constraint, vocabulary, shape.canvas_length) for name, constraint in asked.items()}
    sides: dict[str, Callable[[], object]] = {"free": step.free}
    if shape.vocab_size <= LARGEST_WHOLE:
        sides["stack and head"] = step.stack_and_head()
    sides |= {name: lambda lattice=lattice: step.constrained(lattice) for name, lattice in placed.items()}
    best = best_milliseconds(sides, repeats)
    forward_ms, free = best.get("stack and head"), best["free"]
    results: dict[str, Any] = {"vocab_size": shape.vocab_size, "kernels": kernels.name}
    results |= {"stack_and_head_ms": forward_ms, "free_maker_ms": free, "constraints": {}}
    for name, lattice in placed.items():
        results["constraints"][name] = {
            "states": len(lattice.lattice.states),
            "classes": len(lattice.lattice.classes),
            "edges": len(lattice.lattice.source),
            "maker_ms": round(best[name], 2),
            "maker_ratio": round(best[name] / free, 2),
            "step_ratio": None if forward_ms is None else round((forward_ms + best[name]) / (forward_ms + free), 3),
        }
        if in_stages:
            turns = [step.stages(lattice) for _ in range(repeats)]
            results["constraints"][name]["stages_ms"] = {
                stage: round(min(turn[stage] for turn in turns), 2) for stage in turns[0]
            }
    return results


def best_milliseconds(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The best processor time of every side; they take turns, and the first turn warms up."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, run in sides.items():
            start = time.process_time()
            run()
            if turn:
                taken[name].append((time.process_time() - start) * 1e3)
    return {name: round(min(times), 2) for name, times in taken.items()}


def suites() -> list[Kernels]:
    """Plain torch, and the native suite where this machine has it."""
    try:
        return [PLAIN, native_suite()]
    except LoadError as error:
        sys.stderr.write(f"plain torch alone: {error}\n")
        return [PLAIN]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vocab", type=int, nargs="+", default=[4096, 32_768, 262_144])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="also write the JSON there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    given = sys.argv[1:] if arguments is None else arguments
    machine = this_machine()
    results: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "redraft.benchmark.constrained_step", *given]),
        "versions": machine.versions,
        "machine": machine.device_name,
        "threads": 1,
        "canvas_length": CANVAS_LENGTH,
        "prompt_length": PROMPT_LENGTH,
        "runs": [],
    }
    for size, kernels in product(options.vocab, suites()):
        shape = replace(mini_full_model(), vocab_size=size, canvas_length=CANVAS_LENGTH, eos_token_ids=(1,))
        in_stages = size == max(options.vocab) and kernels is PLAIN
        results["runs"].append(measure(shape, constraints(), options.repeats, in_stages, kernels))
        if options.out:
            options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
