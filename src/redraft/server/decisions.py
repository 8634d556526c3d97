"""Typed decisions in two flavours: OpenAI's list of questions on an input, Inception's object of them on a state."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from redraft.engine.deciding import Question, decide, read_questions, reading_request
from redraft.engine.engine import Engine
from redraft.engine.handle import Handle
from redraft.engine.request import Request
from redraft.errors import InvalidRequest
from redraft.reply import Decision, Reply
from redraft.server.exchange import Exchange
from redraft.server.fim import TextDialect
from redraft.server.params import ignored
from redraft.server.schema import DecisionRequest

MAX_READS = 1000  # questions times reads
_ENGINE_KEYS = ("type", "instructions", "criteria")
_LIST_KEYS = ("type", "name", "instructions", "choices", "levels")

Render = Callable[[list[Reply]], dict[str, Any]]


class Read:
    """One denoising pass that looks at the labels of one question."""

    def __init__(self, engine: Engine, state: Any, question: Question, seed: int):
        self._engine, self._state, self._question, self._seed = engine, state, question, seed
        self._request: Request | None = None

    def start(self, _: bool) -> Handle:
        self._request = reading_request(self._engine.intake, self._state, self._question, self._seed)
        return self._engine._submit(self._request)

    @property
    def seen(self) -> tuple[list[float], float]:
        """The probability of each label and the mass of them all, once the pass is done."""
        assert self._request is not None and self._request.reading is not None
        return self._request.reading


def decision_exchange(body: DecisionRequest, name: str, engine: Engine, fingerprint: str) -> tuple[Exchange, Render]:
    """What a decision request asks of the engine, and how its reply is made; InvalidRequest names what cannot be."""
    questions, state = _questions_and_state(body)
    num_reads, seed = body.reads or 1, body.seed or 0
    if len(questions) * num_reads > MAX_READS:
        raise InvalidRequest(f"questions: {len(questions)} and reads={num_reads} want at most {MAX_READS} passes")
    known = {key: {k: v for k, v in question.items() if k in _ENGINE_KEYS} for key, question in questions.items()}
    reads = {
        question: [Read(engine, state, question, seed + i) for i in range(num_reads)]
        for question in read_questions(known)
    }
    exchange = Exchange(
        model=name,
        fingerprint=fingerprint,
        dialect=TextDialect(),
        starts=[read.start for each in reads.values() for read in each],
        weight=min(len(questions) * num_reads, engine._scheduler.max_batch),
        compiles=True,
        warnings=[*ignored(body), *(f"questions{key} has no effect here" for key in _extra_keys(body))],
    )

    def render(replies: list[Reply]) -> dict[str, Any]:
        decided = [decide(question, [read.seen for read in each]) for question, each in reads.items()]
        num_tokens = _num_tokens(engine, state, questions)  # bounded by now: the prompts fit the context
        usage = _usage(num_tokens, exchange.usage(replies)["diffusion"])
        answers = _answers(body.questions, questions, decided)
        warnings = exchange.all_warnings(replies)
        return {"object": "decision", "model": name, "answers": answers, "usage": usage, "warnings": warnings}

    return exchange, render


def _questions_and_state(body: DecisionRequest) -> tuple[dict[str, dict[str, Any]], Any]:
    """Questions by name, in the engine's terms, and what they are about."""
    if isinstance(body.questions, list):
        if body.input is None:
            raise InvalidRequest("input: want the text or the messages that a list of questions is about")
        return _from_list(body.questions), _text_of(body.input)
    if body.state is None:
        raise InvalidRequest("state: want the JSON value that an object of questions is about")
    return dict(body.questions), body.state


def _answers(asked: Any, questions: Mapping[str, Mapping[str, Any]], decided: list[Decision]) -> Any:
    """A list for a list, an object for an object."""
    if isinstance(asked, list):
        return [_listed(question, decision) for question, decision in zip(asked, decided, strict=True)]
    return {key: _keyed(questions[key], decision) for key, decision in zip(questions, decided, strict=True)}


def _usage(num_tokens: int, diffusion: dict[str, Any]) -> dict[str, Any]:
    return {
        "input_tokens": num_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": num_tokens,
        "diffusion": diffusion,
    }


def _from_list(questions: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """OpenAI's questions as the engine takes them, under the names "0", "1", ..."""
    return {str(i): _translated(question, f"questions[{i}]") for i, question in enumerate(questions)}


def _translated(question: Mapping[str, Any], where: str) -> dict[str, Any]:
    kind, instructions = question.get("type"), question.get("instructions")
    if isinstance(instructions, list):
        instructions = _joined(instructions, f"{where}.instructions")
    asked: dict[str, Any] = {"type": kind, "instructions": instructions}
    if kind == "choice":
        choices = _objects(question.get("choices"), f"{where}.choices", "value")
        names = [_label(choice["value"]) for choice in choices]
        if len(set(names)) < len(names):
            raise InvalidRequest(f"{where}.choices: want values that differ")
        asked["criteria"] = {name: choice.get("description") for name, choice in zip(names, choices, strict=True)}
    elif kind == "score":
        levels = _objects(question.get("levels"), f"{where}.levels", "label")
        asked["criteria"] = [": ".join(map(str, filter(None, (x["label"], x.get("description"))))) for x in levels]
    elif kind != "predicate":
        raise InvalidRequest(f"{where}.type={str(kind)[:40]!r}: want 'predicate', 'choice' or 'score'")
    return asked


def _listed(question: Mapping[str, Any], decision: Decision) -> dict[str, Any]:
    """OpenAI's answer."""
    answer: dict[str, Any] = {"type": decision.kind, "name": question.get("name")}
    shares = list(decision.probabilities.values())
    if decision.kind == "predicate":
        answer["probability"] = shares[0]
    elif decision.kind == "choice":
        values = [choice["value"] for choice in question["choices"]]
        best = max(range(len(shares)), key=shares.__getitem__)
        answer["choice"], answer["confidence"] = values[best], decision.confidence
        answer["probabilities"] = [{"value": v, "probability": p} for v, p in zip(values, shares, strict=True)]
    else:
        labels = [level["label"] for level in question["levels"]]
        answer["score"], answer["confidence"] = _mean(shares), decision.confidence
        answer["probabilities"] = [
            {"value": i, "label": label, "probability": p}
            for i, (label, p) in enumerate(zip(labels, shares, strict=True))
        ]
    return {**answer, **_honesty(decision)}


def _keyed(question: Mapping[str, Any], decision: Decision) -> dict[str, Any]:
    """Inception's answer."""
    shares = dict(decision.probabilities)
    if decision.kind == "predicate":
        answer: dict[str, Any] = {"type": question.get("type"), "noul": next(iter(shares.values()))}
    elif decision.kind == "choice":
        answer = {"type": "choice", "choice": decision.label, "probabilities": shares}
    else:
        legend = {str(i): text for i, text in enumerate(question["criteria"])}
        answer = {"type": "score", "score": _mean(list(shares.values())), "legend": legend, "probabilities": shares}
    return {**answer, "confidence": decision.confidence, **_honesty(decision)}


def _honesty(decision: Decision) -> dict[str, Any]:
    """What a reader should know before trusting a probability."""
    return {
        "calibrated": decision.calibrated,
        "mass": decision.mass,
        "reads": decision.reads,
        "spread": decision.spread,
    }


def _mean(shares: list[float]) -> float:
    return sum(level * share for level, share in enumerate(shares))


def _text_of(given: str | list[dict[str, Any]] | None) -> str:
    if isinstance(given, list):
        return "\n".join(_message_text(item, f"input[{i}]") for i, item in enumerate(given))
    return given or ""


def _message_text(message: Mapping[str, Any], where: str) -> str:
    content = message.get("content", message.get("output", message.get("arguments")))
    text = _joined(content, f"{where}.content") if isinstance(content, list) else content
    if not isinstance(text, str):
        raise InvalidRequest(f"{where}.content: want text")
    return f"{message.get('role') or message.get('type')}: {text}"


def _joined(parts: list[Any], where: str) -> str:
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidRequest(f"{where}: want text parts, other kinds of input are not supported")
    return "\n".join(map(str, texts))


def _objects(given: Any, where: str, key: str) -> list[dict[str, Any]]:
    is_right = isinstance(given, list) and given and all(isinstance(item, dict) and key in item for item in given)
    if not is_right or not all(isinstance(item[key], str | bool) and item[key] != "" for item in given):
        raise InvalidRequest(f"{where}: want a list of objects with a {key!r} each")
    return given


def _label(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _extra_keys(body: DecisionRequest) -> list[str]:
    """Keys of questions that nothing reads, as they are written in a path."""
    if isinstance(body.questions, list):
        named: Any = enumerate(body.questions)
        known = _LIST_KEYS
    else:
        named, known = body.questions.items(), _ENGINE_KEYS
    return [f"[{key!r}].{extra}" for key, question in named for extra in question if extra not in known]


def _num_tokens(engine: Engine, state: Any, questions: Mapping[str, Mapping[str, Any]]) -> int:
    """Tokens of what was asked, without the template around it."""
    texts = [state if isinstance(state, str) else json.dumps(state, ensure_ascii=False)]
    texts += [str(question.get("instructions")) for question in questions.values()]
    return sum(len(engine.tokenizer.encode_plain(text)) for text in texts)
