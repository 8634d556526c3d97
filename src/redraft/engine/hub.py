"""Requests in, events out: the one thread that steps the model, started by work and gone when there is none."""

import atexit
import logging
import threading
import weakref
from collections import deque

from redraft.engine.handle import Handle
from redraft.engine.output import Output
from redraft.engine.request import Phase, Request
from redraft.engine.runner import Runner
from redraft.engine.scheduler import Scheduler
from redraft.errors import Cancelled, DeadlineExceeded, ModelFailure, Overloaded, RedraftError
from redraft.reply import Finish

logger = logging.getLogger(__name__)

MAX_WAITING = 1024  # requests in the queue before `submit` refuses


class Hub:
    """Owns every running request; other threads only submit and read handles."""

    def __init__(self, runner: Runner, scheduler: Scheduler):
        self._runner = runner
        self._scheduler = scheduler
        self._inbox: deque[tuple[Request, Output, Handle]] = deque()
        self._running: list[tuple[Request, Output, Handle]] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        # A thread that is inside torch when the interpreter goes away aborts the process.
        atexit.register(_close, weakref.ref(self))

    def submit(self, request: Request, output: Output, handle: Handle) -> None:
        """Queue a request; raises Overloaded where the queue is full, Cancelled where the engine is closed."""
        with self._lock:
            if self._is_closed:
                raise Cancelled("the engine is closed")
            if len(self._inbox) >= MAX_WAITING:
                raise Overloaded(
                    f"{len(self._inbox)} requests are waiting: want at most {MAX_WAITING}; try again later"
                )
            self._inbox.append((request, output, handle))
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="redraft-engine", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Cancel everything and wait for the thread to end."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
            for _, _, handle in (*self._inbox, *self._running):
                handle.cancel()
        if thread is not None:
            thread.join()

    def _loop(self) -> None:
        while True:
            with self._lock:
                if not self._inbox and not self._running:
                    self._thread = None
                    return
                self._admit()
            try:
                self._drop_ended()
                self._step()
            except Exception as error:  # a fault of ours must reach the callers, not kill the thread silently
                logger.exception("engine step failed")
                for entry in list(self._running):
                    self._end(entry, ModelFailure(f"the engine step failed: {type(error).__name__}: {error}"))

    def _admit(self) -> None:
        """Move requests from the queue into the batch, first come first served, while there is room."""
        while self._inbox and self._scheduler.admits(self._inbox[0][0], [entry[0] for entry in self._running]):
            entry = self._inbox.popleft()
            self._running.append(entry)

    def _drop_ended(self) -> None:
        """End what was cancelled or is overdue, before the next pass; the queue included."""
        with self._lock:
            waiting, self._inbox = list(self._inbox), deque()
        for entry in (*self._running, *waiting):
            request, _, handle = entry
            if handle.is_cancelled:
                self._end(entry, Cancelled("the request was cancelled"))
            elif request.is_overdue:
                self._end(entry, DeadlineExceeded(f"deadline={request.params.deadline} seconds have passed"))
        with self._lock:
            still_waiting = [entry for entry in waiting if entry[0].phase is not Phase.FINISHED]
            self._inbox.extendleft(reversed(still_waiting))

    def _step(self) -> None:
        """One engine step: every running request does its next piece of work in one batch."""
        if not self._running:
            return
        outcomes = self._runner.run([entry[0] for entry in self._running])
        for entry, outcome in zip(list(self._running), outcomes, strict=True):
            request, output, handle = entry
            if isinstance(outcome, RedraftError):
                self._end(entry, outcome)
                continue
            for event in output.events(request, outcome, handle.wants_drafts):
                handle.push(event)
            if request.phase is Phase.FINISHED:
                handle.push(Finish(reply=output.reply(request)))
                self._running.remove(entry)

    def _end(self, entry: tuple[Request, Output, Handle], error: RedraftError) -> None:
        request, _, handle = entry
        request.finish(None)
        handle.fail(error)
        if entry in self._running:
            self._running.remove(entry)


def _close(hub: "weakref.ref[Hub]") -> None:
    alive = hub()
    if alive is not None:
        alive.close()
