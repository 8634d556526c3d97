"""How much the server takes on at a time, and how requests get from its event loop into the engine and back."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from redraft.engine.handle import Event, Handle
from redraft.errors import InvalidRequest, Overloaded
from redraft.reply import Finish, Reply

NUM_PREPARING = 2  # threads that encode prompts, and as many for what takes longer, such as constraints

Result = TypeVar("Result")
Start = Callable[[bool], Handle]  # queues one choice; the argument says whether drafts are wanted


class Admission:
    """Counts choices between arrival and end; used on the event loop alone."""

    def __init__(self, limit: int):
        self.limit, self.in_flight = limit, 0
        self._light = ThreadPoolExecutor(NUM_PREPARING, thread_name_prefix="redraft-encode")
        self._heavy = ThreadPoolExecutor(NUM_PREPARING, thread_name_prefix="redraft-compile")

    @contextmanager
    def admit(self, count: int) -> Iterator[None]:
        """Room for `count` choices; Overloaded where there is none now, InvalidRequest where there never is."""
        if count > self.limit:
            raise InvalidRequest(f"{count} choices, prompts times n: want at most {self.limit}, what the queue holds")
        if self.in_flight + count > self.limit:
            raise Overloaded(f"{self.in_flight} choices run or wait, {self.limit} may; try again later")
        self.in_flight += count
        try:
            yield
        finally:
            self.in_flight -= count

    async def start(self, starts: Sequence[Start], *, wants_drafts: bool, compiles: bool) -> list[Handle]:
        """Handles of all choices, queued from a worker thread; when the caller goes away meanwhile, none stays.

        Those that compile a constraint do not keep others waiting.
        """
        loop, pool = asyncio.get_running_loop(), self._heavy if compiles else self._light
        handles, is_abandoned = [], threading.Event()
        queued = loop.run_in_executor(pool, _start_all, starts, wants_drafts, handles, is_abandoned)
        try:
            await asyncio.shield(queued)
        except asyncio.CancelledError:
            is_abandoned.set()
            _cancel(handles)
            raise
        return handles

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of blocking work that may take long, done in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._heavy, work)

    def close(self) -> None:
        for pool in (self._light, self._heavy):
            pool.shutdown(wait=False, cancel_futures=True)


async def merged(handles: Sequence[Handle], patience: float | None) -> AsyncIterator[tuple[int, Event] | None]:
    """Events of all handles as they come, with their index; None after `patience` seconds without one (None: never).

    A reader that is slow to ask for the next leaves events where they are: the handles drop their oldest drafts.
    """
    streams = [handle.aevents() for handle in handles]
    waiting = {asyncio.ensure_future(anext(stream)): index for index, stream in enumerate(streams)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                yield None
            for task in sorted(done, key=waiting.__getitem__):
                index = waiting.pop(task)
                try:
                    event = task.result()
                except StopAsyncIteration:
                    continue
                yield index, event
                waiting[asyncio.ensure_future(anext(streams[index]))] = index
    finally:
        for task in waiting:
            task.cancel()
        _cancel(handles)


async def collected(handles: Sequence[Handle], note: Callable[[Event], None]) -> list[Reply]:
    """The replies of all handles; an error of one, or leaving, cancels the others."""
    found: dict[int, Reply] = {}
    async for item in merged(handles, None):
        assert item is not None, "without a limit there is no silence to report"
        index, event = item
        note(event)
        if isinstance(event, Finish):
            found[index] = event.reply
    return [found[index] for index in range(len(handles))]


def _start_all(
    starts: Sequence[Start], wants_drafts: bool, handles: list[Handle], is_abandoned: threading.Event
) -> None:
    """Adds a handle per start, in place; where one fails, or nobody wants them any more, all are cancelled."""
    try:
        for start in starts:
            if is_abandoned.is_set():
                break
            handles.append(start(wants_drafts))
    except Exception:
        _cancel(handles)
        if not is_abandoned.is_set():
            raise
    if is_abandoned.is_set():
        _cancel(handles)


def _cancel(handles: Sequence[Handle]) -> None:
    for handle in handles:
        handle.cancel()
