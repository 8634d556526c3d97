"""The caller's end of a request."""

import asyncio
import threading

import pytest

from redraft.engine.handle import MAX_DRAFTS, Handle
from redraft.errors import ModelFailure
from redraft.reply import Commit, Draft, Finish, Reply, Usage

USAGE = Usage(
    prompt_tokens=1,
    completion_tokens=1,
    canvases=1,
    denoising_steps=1,
    forward_passes=1,
    tokens_per_forward=1.0,
    converged=(True,),
    seconds=0.1,
)
REPLY = Reply(text="a", token_ids=(1,), finish_reason="stop", seed=0, usage=USAGE, model="m")


def draft(step: int) -> Draft:
    return Draft(
        canvas_index=0,
        denoising_step=step,
        token_ids=(1,),
        text="a",
        changed=(),
        accepted=(0,),
        mean_entropy=0.0,
        temperature=0.8,
    )


def test_events_come_in_order_and_end_with_finish():
    handle = Handle(wants_drafts=True)
    sent = [draft(0), Commit(token_ids=(1,), text="a"), Finish(reply=REPLY)]
    for event in sent:
        handle.push(event)
    assert list(handle.events()) == sent
    assert handle.is_cancelled


def test_slow_reader_loses_oldest_drafts_and_no_commit():
    handle = Handle(wants_drafts=True)
    handle.push(Commit(token_ids=(7,), text="first"))
    for step in range(MAX_DRAFTS + 5):
        handle.push(draft(step))
    handle.push(Finish(reply=REPLY))
    events = list(handle.events())
    assert events[0] == Commit(token_ids=(7,), text="first")
    assert [event.denoising_step for event in events if isinstance(event, Draft)] == list(range(5, MAX_DRAFTS + 5))


def test_leaving_the_loop_cancels():
    handle = Handle(wants_drafts=True)
    handle.push(draft(0))
    for _ in handle.events():
        break
    assert handle.is_cancelled


def test_error_reaches_the_reader_after_the_events_before_it():
    handle = Handle(wants_drafts=True)
    handle.push(draft(0))
    handle.fail(ModelFailure("NaN"))
    events = handle.events()
    assert next(events) == draft(0)
    with pytest.raises(ModelFailure, match="NaN"):
        next(events)


def test_async_reader_waits_for_another_thread():
    handle = Handle(wants_drafts=False)

    async def read():
        threading.Timer(0.05, lambda: handle.push(Finish(reply=REPLY))).start()
        return await handle.areply()

    assert asyncio.run(read()) == REPLY


def test_closed_event_loop_cancels_instead_of_raising():
    handle = Handle(wants_drafts=True)

    async def start():
        events = handle.aevents()
        task = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(start())
    loop.close()
    task._log_destroy_pending = False  # it is meant to be left behind
    handle.push(draft(0))
    assert handle.is_cancelled
