"""Teaches a model a form it does not know, by an adapter with and without experts and by all weights, and grades it.

    python -m redraft.evaluation.new_form --model redraft-mini --out runs/tickets

Notes are about train tickets, made up here. They are written to `tickets.jsonl` in the folder as chats, so the same can
be had with `redraft train finetune`. Names and places of the notes that are asked about occur in no training.
"""

import argparse
import json
import platform
import random
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import redraft
from redraft.evaluation.forms import FormsTask, grade
from redraft.evaluation.metrics import pooled_rate, rate
from redraft.evaluation.run import versions
from redraft.training import run
from redraft.training.lora import TARGETS, LoraConfig
from redraft.training.notes import notes
from redraft.training.recipes import finetune

SENTENCES = (
    "{passenger} takes the {departs} train from {start} to {goal}, platform {platform}.",
    "Ticket for {passenger}: {start} to {goal} at {departs}, seat {seat}.",
    "Departure {departs} from {start}, platform {platform}, arriving in {goal}.",
    "Seat {seat} to {goal} is booked for {passenger}, leaving {start} at {departs}.",
    "From {start} {passenger} travels to {goal} with {train}.",
    "{train} to {goal} leaves {start} at {departs} from platform {platform}.",
    "Please book {start} to {goal} for {passenger}, seat {seat}.",
    "{passenger} arrives in {goal} with {train} from {start}.",
    "Platform {platform}: {train} from {start}, bound for {goal}, {departs}.",
    "At {departs} {train} goes to {goal}; {passenger} gets on in {start}, seat {seat}.",
)
UNSEEN_SENTENCES = (
    "To reach {goal}, {passenger} boards {train} in {start}.",
    "{start} is where {train} starts at {departs}, and {goal} is where it ends.",
    "Your reservation: {seat}, {train}, {passenger}, out of {start} towards {goal}.",
)
KEYS = {
    "passenger": ("passenger", "traveller"), "start": ("from", "origin"), "goal": ("to", "destination"),
    "departs": ("departs", "leaves"), "platform": ("platform",), "seat": ("seat",), "train": ("train",),
}  # fmt: skip
VARIANTS: dict[str, tuple[LoraConfig | None, float]] = {  # an adapter or None for all weights, and the peak rate
    "adapter without experts": (LoraConfig(targets=tuple(part for part in TARGETS if part != "experts")), 1e-2),
    "adapter with experts": (LoraConfig(), 1e-2),
    "all weights": (None, 3e-3),
}
Chat = list[dict[str, str]]


def tickets(seed: int, sentences: Sequence[str] = SENTENCES, words: str = "train") -> Iterator[Chat]:
    """An endless seeded run of chats: a note with an empty form of two to four of its facts, and the form filled in."""
    rng = random.Random(f"tickets {seed}")
    people, places, clocks = (_values(slot, seed, words) for slot in ("person", "place", "time"))
    while True:
        facts = {
            "passenger": next(people),
            "start": next(places),
            "goal": next(places),
            "departs": next(clocks),
            "platform": rng.randint(1, 24),
            "seat": f"{rng.randint(1, 99)}{rng.choice('ABCD')}",
            "train": f"{rng.choice(('IC', 'RE', 'EC'))} {rng.randint(1, 999)}",
        }
        sentence = rng.choice(sentences)
        slots = [slot for slot in facts if f"{{{slot}}}" in sentence]
        asked = rng.sample(slots, rng.randint(2, min(4, len(slots))))
        answer = {rng.choice(KEYS[slot]): facts[slot] for slot in asked}
        empty = {key: "" if isinstance(value, str) else 0 for key, value in answer.items()}
        content = f"{sentence.format(**facts)}\n{json.dumps(empty)}"
        yield [{"role": "user", "content": content}, {"role": "assistant", "content": json.dumps(answer)}]


def _values(slot: str, seed: int, words: str) -> Iterator[Any]:
    return (note.facts[slot] for note in notes(seed + 5_000_000, words=words) if slot in note.facts)


def graded(engine: redraft.Engine, count: int, params: redraft.SamplingParams) -> dict[str, Any]:
    """Fields and objects exactly right: tickets of known and of new sentences, and forms of the kinds known before."""
    asked: dict[str, list[tuple[Callable[[], redraft.Reply], str]]] = {}
    for bucket, sentences in (("tickets", SENTENCES), ("tickets, new sentences", UNSEEN_SENTENCES)):
        chats = islice(tickets(1, sentences, "held_out"), count)
        asked[bucket] = [(lambda ask=ask: engine.chat([ask], params), reply["content"]) for ask, reply in chats]
    known = [item for item in FormsTask().items(count, 0) if item.bucket == "known templates, new words"]
    asked["forms known before"] = [
        (lambda item=item: engine.generate(item.prompt, params), item.answer) for item in known
    ]
    figures = {}
    for bucket, questions in asked.items():
        fields = [grade(answer, ask().text)[0] for ask, answer in questions]
        figures[bucket] = {"fields_right": pooled_rate(fields), "objects_right": rate([all(part) for part in fields])}
    return figures


def measured(
    model: str, out: Path, count: int, num_examples: int, epochs: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Figures of the model as it is, then of each variant, with what its training took."""
    params = redraft.SamplingParams(max_tokens=64, seed=0)
    with redraft.load(model) as engine:
        yield "before", graded(engine, count, params)
    data = out / "tickets.jsonl"
    data.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"messages": chat}) + "\n" for chat in islice(tickets(0), num_examples))
    data.write_text("".join(lines), encoding="utf-8")
    for name, (lora, peak_lr) in VARIANTS.items():
        folder = out / name.replace(" ", "-")
        config = finetune(data, model=model, lora=lora, epochs=epochs, peak_lr=peak_lr)
        trainer = run.start(folder, config)
        began, used = time.monotonic(), time.process_time()
        run.run(trainer)
        if trainer.update != config.last_update:
            sys.exit(f"{name} was stopped at update {trainer.update} of {config.last_update}: the same command goes on")
        cost = {
            "trained_parameters": sum(parameter.numel() for parameter in trainer.trainable.values()),
            "updates": trainer.update,
            "seconds": time.monotonic() - began,
            "processor_seconds": time.process_time() - used,
        }
        adapter = None if lora is None else str(run.save_adapter(config, folder, folder / "adapter"))
        tuned = model if lora is not None else str(run.export(config, folder, folder / "model"))
        with redraft.load(tuned, adapter=adapter) as engine:
            yield name, {**graded(engine, count, params), "training": cost}


def main(arguments: list[str] | None = None) -> None:
    """Prints the figures as JSON, and a line per variant as it is done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="redraft-mini", help="what is taught: a model as redraft.load takes it")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of data and runs; figures.json is written there"
    )
    parser.add_argument("--count", type=int, default=60, help="notes per bucket")
    parser.add_argument("--examples", type=int, default=2000, help="chats to learn from")
    parser.add_argument("--epochs", type=float, default=2.0, help="times through them")
    options = parser.parse_args(arguments)
    command = shlex.join(["python", "-m", "redraft.evaluation.new_form", *(arguments or sys.argv[1:])])
    results: dict[str, Any] = {"command": command, "versions": versions(), "machine": platform.machine(), "figures": {}}
    for name, figures in measured(options.model, options.out, options.count, options.examples, options.epochs):
        results["figures"][name] = figures
        shares = {
            bucket: f"{part['fields_right']['share']:.1%}" for bucket, part in figures.items() if bucket != "training"
        }
        sys.stderr.write(f"{name}: {shares}, {figures.get('training', '')}\n")
    (options.out / "figures.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
