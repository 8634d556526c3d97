"""Typed decisions: one denoising pass per read, the answer's slot held to its labels, their shares averaged."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redraft.config import SamplingParams
from redraft.constraints.inference import place
from redraft.constraints.lattice import unroll
from redraft.constraints.spec import Choice
from redraft.engine.intake import Intake
from redraft.engine.request import Request
from redraft.errors import InvalidRequest
from redraft.reply import Decision

MAX_LABELS = 255
MIN_LEVELS, MAX_LEVELS = 2, 10


@dataclass(frozen=True, kw_only=True)
class Question:
    """One decision: its kind, what is asked, and the labels with what each means (None: nothing said)."""

    name: str
    kind: str  # "predicate" | "choice" | "score"
    instructions: str
    labels: tuple[str, ...]
    meanings: tuple[str | None, ...]


def read_questions(questions: Mapping[str, Mapping[str, Any]]) -> list[Question]:
    """Checked questions; InvalidRequest names what is wrong.

    Each is {"type", "instructions", "criteria"}: a "predicate" ("noul") is answered yes or no, a "choice" by one key of
    its criteria (label -> meaning or None), a "score" by one of its criteria, 2 to 10 strings from low to high.
    """
    if not isinstance(questions, Mapping) or not questions:
        raise InvalidRequest(f"questions={questions!r}: want an object from names to questions")
    return [_read(name, question) for name, question in questions.items()]


def ask(state: Any, question: Question) -> str:
    """The text that asks one question about a state (any JSON value, or a string as it is)."""
    try:
        said = state if isinstance(state, str) else json.dumps(state, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"state={str(state)[:80]!r}: want a string or what JSON can hold ({error})") from error
    lines = [said, "", question.instructions]
    for label, meaning in zip(question.labels, question.meanings, strict=True):
        lines.append(f"- {label}" if meaning is None else f"- {label}: {meaning}")
    lines += ["", f"Answer with one of: {', '.join(question.labels)}"]
    return "\n".join(lines)


def reading_request(intake: Intake, state: Any, question: Question, seed: int) -> Request:
    """The request that reads the question's labels off one denoising pass."""
    text = ask(state, question)
    if intake.template.is_present:
        prompt_ids = intake.chat_ids([{"role": "user", "content": text}], None, False)
    else:
        prompt_ids = intake.prompt_ids(text + "\n")
    canvas_length = intake.config.canvas_length
    params = SamplingParams(max_tokens=canvas_length, max_denoising_steps=1, seed=seed, min_tokens=0)
    request = intake.request(prompt_ids, params)
    stop_ids = intake.end_ids(request.params)
    automata = [intake.compiled.compile(Choice([label]), stop_ids).automaton for label in question.labels]
    # Every label on the same positions: the longest one and the end after it.
    num_positions = 1 + max(int(automaton.distance[automaton.start]) for automaton in automata)
    if num_positions > canvas_length:
        raise InvalidRequest(f"labels of {question.name!r} take {num_positions} tokens: want at most {canvas_length}")
    lattices = [unroll(automaton, automaton.start, num_positions, num_positions, stop_ids[0]) for automaton in automata]
    request.labels = tuple(place(lattice, intake.device) for lattice in lattices)
    return request


def decisions(
    asked: Sequence[Question], readings: Sequence[tuple[list[float], float] | None], reads: int
) -> dict[str, Decision]:
    """The decision on each question, from `reads` readings of each in turn; None is one that did not come about."""
    return {
        question.name: decide(question, [reading for reading in readings[i * reads : (i + 1) * reads] if reading])
        for i, question in enumerate(asked)
    }


def decide(question: Question, reads: Sequence[tuple[Sequence[float], float]]) -> Decision:
    """The decision from its reads: (probability of each label, mass the model gave to any of them)."""
    count = len(reads)
    probabilities = [sum(read[0][i] for read in reads) / count for i in range(len(question.labels))]
    entropy = -sum(p * math.log(p) for p in probabilities if p > 0)
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    spread = max(
        max(read[0][i] for read in reads) - min(read[0][i] for read in reads) for i in range(len(probabilities))
    )
    return Decision(
        kind=question.kind,
        label=question.labels[best],
        probabilities=dict(zip(question.labels, probabilities, strict=True)),
        confidence=1 - entropy / math.log(len(probabilities)),
        mass=sum(mass for _, mass in reads) / count,
        reads=count,
        spread=spread,
    )


def _read(name: str, question: Any) -> Question:
    where = f"questions[{name!r}]"
    if not isinstance(question, Mapping):
        raise InvalidRequest(f"{where}={question!r}: want an object with type, instructions, criteria")
    unknown = set(question) - {"type", "instructions", "criteria"}
    if unknown:
        raise InvalidRequest(f"{where} has the key {min(unknown)!r}: want type, instructions, criteria")
    instructions = question.get("instructions")
    if not isinstance(instructions, str) or not instructions:
        raise InvalidRequest(f"{where}.instructions={instructions!r}: want a non-empty string")
    kind, criteria = question.get("type"), question.get("criteria")
    if kind in ("predicate", "noul"):
        labels, meanings = _predicate(where, criteria)
    elif kind == "choice":
        labels, meanings = _choice(where, criteria)
    elif kind == "score":
        labels, meanings = _score(where, criteria)
    else:
        raise InvalidRequest(f"{where}.type={kind!r}: want 'predicate' (or 'noul'), 'choice' or 'score'")
    kind = "predicate" if kind == "noul" else kind
    return Question(name=name, kind=kind, instructions=instructions, labels=labels, meanings=meanings)


def _predicate(where: str, criteria: Any) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    criteria = {} if criteria is None else criteria
    if not isinstance(criteria, Mapping) or set(criteria) - {"true", "false"}:
        raise InvalidRequest(f"{where}.criteria={criteria!r}: want what 'true' and 'false' mean, or nothing")
    return ("yes", "no"), (criteria.get("true"), criteria.get("false"))


def _choice(where: str, criteria: Any) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    is_right = isinstance(criteria, Mapping) and 2 <= len(criteria) <= MAX_LABELS and all(criteria)
    if not is_right or not all(isinstance(label, str) for label in criteria):
        raise InvalidRequest(
            f"{where}.criteria={criteria!r}: want 2 to {MAX_LABELS} labels with what each means, or null"
        )
    return tuple(criteria), tuple(criteria.values())


def _score(where: str, criteria: Any) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    is_list = isinstance(criteria, Sequence) and not isinstance(criteria, str)
    if not is_list or not MIN_LEVELS <= len(criteria) <= MAX_LEVELS or not all(isinstance(c, str) for c in criteria):
        raise InvalidRequest(f"{where}.criteria={criteria!r}: want {MIN_LEVELS} to {MAX_LEVELS} strings, low to high")
    return tuple(str(level) for level in range(len(criteria))), tuple(criteria)
