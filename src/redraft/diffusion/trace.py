"""The record of a denoising run: drafts made from predictions, and the file that keeps a run's events."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from redraft.diffusion.predict import Prediction
from redraft.diffusion.process import Place
from redraft.errors import LoadError
from redraft.reply import Commit, Draft, Finish
from redraft.shapes import Bool, Int, Tensor

TRACE_VERSION = 1
Event = Draft | Commit | Finish
_EVENT_KINDS = {"draft": Draft, "commit": Commit, "finish": Finish}


def make_draft(
    prediction: Prediction,
    accepted: Bool[Tensor, "C"],
    previous_best: Int[Tensor, "C"] | None,
    place: Place,
    *,
    temperature: float,
    mean_entropy: float,
    stop_ids: Collection[int],
    decode: Callable[[Sequence[int]], str],
) -> Draft:
    """What one denoising step looks like from outside. `previous_best` is None at a canvas's first step: all is new."""
    best = prediction.best.tolist()
    end = next((index for index, token in enumerate(best) if token in stop_ids), len(best))
    before = [None] * len(best) if previous_best is None else previous_best.tolist()
    probabilities = prediction.best_logprob.exp().tolist()
    changed = [
        (position, decode([token]), probabilities[position])
        for position, token in enumerate(best)
        if token != before[position]
    ]
    return Draft(
        canvas_index=place.canvas_index,
        denoising_step=place.denoising_step,
        token_ids=tuple(best),
        text=decode(best[:end]),
        changed=tuple(changed),
        accepted=tuple(accepted.nonzero().flatten().tolist()),
        mean_entropy=mean_entropy,
        temperature=temperature,
    )


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A recorded run: everything a viewer needs, nothing of the model."""

    model: str  # as in Reply.model
    seed: int
    params: Mapping[str, Any]  # SamplingParams.as_dict()
    events: tuple[Event, ...]
    version: int = TRACE_VERSION

    def to_json(self) -> str:
        """The trace file's text. A finished reply's own trace is left out: it is this one."""
        kinds = {kind: name for name, kind in _EVENT_KINDS.items()}
        document = {
            "version": self.version,
            "model": self.model,
            "seed": self.seed,
            "params": dict(self.params),
            "events": [{"event": kinds[type(event)], **_plain(event)} for event in self.events],
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Trace":
        """The trace that `to_json` wrote; LoadError where the text is no trace or its version is not ours."""
        try:
            document = json.loads(text)
            version = document["version"]
        except (ValueError, TypeError, KeyError) as error:
            raise LoadError(f"trace={text[:40]!r}...: want JSON with a version") from error
        if version != TRACE_VERSION:
            raise LoadError(f"trace version={version!r}: want {TRACE_VERSION}")
        try:
            events = tuple(_event(event) for event in document["events"])
            return cls(model=document["model"], seed=document["seed"], params=document["params"], events=events)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise LoadError(f"trace of version {version} is damaged: {error!r}") from error

    def save(self, path: str | Path) -> None:
        """Write the trace file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Trace":
        """Read a trace file; LoadError names what is wrong with it."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LoadError(f"trace={str(path)!r}: {error}") from error
        return cls.from_json(text)


def _plain(event: Event) -> dict[str, Any]:
    if isinstance(event, Finish):
        event = replace(event, reply=replace(event.reply, trace=None))
    return asdict(event)


def _event(values: Mapping[str, Any]) -> Event:
    kind = _EVENT_KINDS[values["event"]]
    return _record(kind, {name: value for name, value in values.items() if name != "event"})


def _record(kind: type, values: Mapping[str, Any]) -> Any:
    """A dataclass from its JSON object; JSON lists become the tuples that the fields are annotated with."""
    hints = get_type_hints(kind)
    unknown = set(values) - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"{kind.__name__} has no {sorted(unknown)}")
    return kind(**{name: _typed(hints[name], value) for name, value in values.items()})


def _typed(hint: Any, value: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return None if value is None else _typed(next(arg for arg in args if arg is not NoneType), value)
    if is_dataclass(hint):
        return _record(hint, value)  # type: ignore[arg-type]
    if origin is tuple:
        kinds = args[:1] * len(value) if args[1:] == (...,) else args
        return tuple(_typed(kind, item) for kind, item in zip(kinds, value, strict=True))
    return value
