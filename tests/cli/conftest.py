"""A stand-in for the engine that says what a test scripts, and a way to run the command line on it."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import redraft
from redraft import cli
from redraft.config import GenerationDefaults, SamplingParams
from redraft.errors import InvalidRequest
from redraft.reply import Commit, Draft, Finish, Reply, Usage


def letters(ids):
    return "".join(chr(i) for i in ids)


@dataclass
class FakeEngine:
    """Answers every prompt with `answer(prompt)`, in two denoising steps; keeps what it was asked."""

    answer: object = str.upper
    asked: list = field(default_factory=list)
    is_closed: bool = False
    label: str = "fake (cpu, float32, plain torch)"

    def __post_init__(self):
        self.tokenizer = SimpleNamespace(decode=letters)
        self.intake = SimpleNamespace(defaults=GenerationDefaults(), template=object())

    def stream(self, prompt, params=None, tools=None, thinking=False):
        self.asked.append((prompt, params or SamplingParams()))
        text = self.answer(prompt if isinstance(prompt, str) else prompt[-1]["content"])
        ids = tuple(map(ord, text))
        events = [
            Draft(
                canvas_index=0,
                denoising_step=step,
                token_ids=ids,
                text=text,
                changed=tuple((i, letter, 0.9) for i, letter in enumerate(text)) if step == 0 else (),
                accepted=tuple(range(len(ids) // (2 - step))),
                mean_entropy=0.1,
                temperature=0.8,
            )
            for step in (0, 1)
        ]
        events.append(Commit(token_ids=ids, text=text))
        usage = Usage(
            prompt_tokens=1,
            completion_tokens=len(ids),
            canvases=1,
            denoising_steps=2,
            forward_passes=2,
            tokens_per_forward=len(ids) / 2,
            converged=(True,),
            seconds=0.5,
        )
        trace = SimpleNamespace(events=tuple(events), save=lambda path: Path(path).write_text("trace"))
        reply = Reply(
            text=text,
            token_ids=ids,
            finish_reason="stop",
            seed=7,
            usage=usage,
            model=self.label,
            trace=trace if params is not None and params.record_trace else None,
        )
        yield from (*events, Finish(reply=reply))

    def generate(self, prompt, params=None):
        if not prompt:
            raise InvalidRequest("prompt has no tokens: want at least one")
        return list(self.stream(prompt, params))[-1].reply

    def chat(self, messages, params=None, tools=None, thinking=False):
        return list(self.stream(messages, params))[-1].reply

    def fill(self, before, after, params=None):
        self.asked.append(((before, after), params))
        return self._reply(self.answer((before, after)))

    def fill_stream(self, infill, params=None, wants_drafts=True):
        self.asked.append((infill, params))
        text = self.answer((infill.before, infill.after))
        return SimpleNamespace(events=lambda: FakeEngine(lambda _: text).stream(infill.before))

    def edit(self, text, instruction, params=None, strength=0.5):
        self.asked.append(((text, instruction, strength), params))
        return self._reply(self.answer(text))

    def solve(self, constraint, prompt="", params=None):
        self.asked.append(((constraint, prompt), params))
        return self._reply(self.answer(prompt))

    def _reply(self, text):
        return list(FakeEngine(lambda _: text).stream(text))[-1].reply

    def close(self):
        self.is_closed = True

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


@pytest.fixture
def engine(monkeypatch):
    """The fake engine, which every command loads instead of a model; `engine.loaded` lists what was asked for."""
    fake = FakeEngine()
    fake.loaded = []
    load = lambda model, **options: fake.loaded.append((model, options)) or fake  # noqa: E731
    monkeypatch.setitem(vars(redraft), "load", load)  # not setattr, which would load the real one to keep it
    monkeypatch.delenv("REDRAFT_MODEL", raising=False)
    return fake


@pytest.fixture
def run():
    """run(*arguments, input=text) -> result with stdout, stderr and exit_code, as a pipe would see them."""
    whole = SimpleNamespace(name="redraft", main=lambda args, prog_name, **_: cli.main(args))

    def invoke(*arguments, input=None):
        return CliRunner().invoke(whole, list(arguments), input=input)

    return invoke
