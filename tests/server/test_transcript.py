"""Golden transcripts: what goes over the wire for a scripted run, byte for byte."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from redraft.engine.handle import Handle
from redraft.errors import ModelFailure
from redraft.reply import Commit, Draft, Finish, Reply, ToolCall, Usage
from redraft.server.exchange import DraftWish, Exchange
from redraft.server.fim import FimDialect, TextDialect
from redraft.server.openai import ChatDialect
from redraft.server.stream import server_sent_events

GOLDEN = Path(__file__).with_name("transcripts")


def letters(ids):
    return "".join(map(chr, ids))


def draft(step, text, changed):
    return Draft(
        canvas_index=0,
        denoising_step=step,
        token_ids=tuple(map(ord, text)),
        text=text,
        changed=changed,
        accepted=tuple(range(step + 1)),
        mean_entropy=0.5,
        temperature=0.8,
    )


def reply(text, **more):
    usage = Usage(
        prompt_tokens=3,
        completion_tokens=len(text),
        canvases=1,
        denoising_steps=2,
        forward_passes=2,
        tokens_per_forward=len(text) / 2,
        converged=(True,),
        seconds=0.25,
    )
    ids = tuple(map(ord, text))
    return Reply(text=text, token_ids=ids, finish_reason="stop", seed=7, usage=usage, model="fake", **more)


def run(events, error=None, **fields):
    """The stream of one scripted choice, as text."""
    handle = Handle(wants_drafts=True)
    for event in events:
        handle.push(event)
    if error is not None:
        handle.fail(error)
    values = {"model": "fake", "fingerprint": "fp", "starts": (), "created": 1, "id": "x", "is_stream": True}
    exchange = Exchange(**{**values, "dialect": ChatDialect(SimpleNamespace(control_tokens={})), **fields})

    async def gather():
        lines = server_sent_events(exchange, [handle], letters, 10, lambda event: None)
        return b"".join([line async for line in lines]).decode("ascii")

    return asyncio.run(gather())


DRAFTS = (
    draft(0, "hx", ((0, "h", 0.9), (1, "x", 0.2))),
    draft(1, "hi", ((1, "i", 0.8),)),
    Commit(token_ids=(104, 105), text="hi"),
    Finish(reply=reply("hi")),
)
THOUGHTS = (
    Commit(token_ids=(1,), text="hm", channel="reasoning"),
    Commit(token_ids=(2,), text="ja, schön 🙂"),
    Finish(reply=reply("ja, schön 🙂", reasoning="hm", warnings=("a warning",))),
)
CALL = (Finish(reply=reply("", tool_calls=(ToolCall(name="f", arguments={"x": "é"}),))),)
CASES = {
    "plain": lambda: run(DRAFTS),
    "usage": lambda: run(DRAFTS, includes_usage=True),
    "drafts-text": lambda: run(DRAFTS, drafts=DraftWish(mode="text", interval=0)),
    "drafts-tokens": lambda: run(DRAFTS, drafts=DraftWish(mode="tokens", interval=0)),
    "replacing": lambda: run(DRAFTS, drafts=DraftWish(mode="whole", interval=0)),
    "thoughts": lambda: run(THOUGHTS),
    "tool-call": lambda: run(CALL),
    "text": lambda: run(DRAFTS, dialect=TextDialect()),
    "fim": lambda: run(DRAFTS, dialect=FimDialect()),
    "failure": lambda: run(DRAFTS[:3], error=ModelFailure("logits are not numbers")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stream_is_what_it_was(name, monkeypatch):
    """After a change on purpose, remove the file and run twice: the first run writes it and fails."""
    monkeypatch.setattr("redraft.server.openai.uuid", SimpleNamespace(uuid4=lambda: SimpleNamespace(hex="0" * 32)))
    file = GOLDEN / f"{name}.txt"
    text = CASES[name]()
    if not file.exists():
        file.write_text(text, encoding="ascii")
        pytest.fail(f"wrote {file.name}: read it, then run again")
    assert text == file.read_text(encoding="ascii")
