"""Requests in, events out: the one thread that steps the model, started by work and gone when there is none."""

import atexit
import logging
import threading
import weakref
from collections import deque
from dataclasses import dataclass

from redraft.engine.handle import Handle
from redraft.engine.output import Output
from redraft.engine.request import Phase, Request
from redraft.engine.runner import Runner
from redraft.engine.scheduler import Scheduler
from redraft.errors import Cancelled, DeadlineExceeded, ModelFailure, Overloaded, RedraftError
from redraft.kernels.threads import let_go_of_threads
from redraft.reply import Finish

logger = logging.getLogger(__name__)

MAX_WAITING = 1024  # requests in the queue before `submit` refuses


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What an engine is doing now; the two counts of tokens are since it was made."""

    num_running: int
    num_waiting: int
    prompt_tokens: int  # of admitted requests
    reused_tokens: int  # of those, found in remembered prefixes
    num_prefixes: int  # chunks remembered
    full_pages: tuple[int, int]  # free, all
    sliding_pages: tuple[int, int]


class Hub:
    """Owns every running request; other threads only submit and read handles."""

    def __init__(self, runner: Runner, scheduler: Scheduler):
        self._runner = runner
        self._scheduler = scheduler
        self._inbox: deque[tuple[Request, Output, Handle]] = deque()
        self._running: list[tuple[Request, Output, Handle]] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._num_steps = 0
        self._prompt_tokens = self._reused_tokens = 0
        self._is_closed = False
        # A thread that is inside torch when the interpreter goes away aborts the process.
        atexit.register(_close, weakref.ref(self))

    def submit(self, request: Request, output: Output, handle: Handle) -> None:
        """Queue a request; raises Overloaded where the queue is full, Cancelled where the engine is closed."""
        let_go_of_threads()  # the caller has nothing to compute while the engine's thread does
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

    def figures(self) -> Figures:
        """Counts of this moment; those of pages and prefixes may be of the moment before."""
        pages = self._scheduler.pool.manager
        with self._lock:
            return Figures(
                num_running=len(self._running),
                num_waiting=len(self._inbox),
                prompt_tokens=self._prompt_tokens,
                reused_tokens=self._reused_tokens,
                num_prefixes=pages.index.num_prefixes,
                full_pages=(pages.full.num_free, len(pages.full)),
                sliding_pages=(pages.sliding.num_free, len(pages.sliding)),
            )

    @property
    def num_running(self) -> int:
        """Requests in the batch."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Requests in the queue before it."""
        return len(self._inbox)

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
        while self._inbox:
            request = self._inbox[0][0]
            cache = self._scheduler.admit(request, len(self._running))
            if cache is None:
                return
            self._prompt_tokens += len(request.prompt_ids)
            self._reused_tokens += cache.length
            request.start_prefill(cache, self._runner.tensor(request.prompt_ids))
            self._running.append(self._inbox.popleft())

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
        """One engine step: the requests that the scheduler picks do their next piece of work in one batch."""
        picked = self._scheduler.pick([entry[0] for entry in self._running])
        outcomes = self._runner.run(picked) if picked else {}
        self._num_steps += 1
        for entry in [entry for entry in self._running if entry[0] in outcomes]:
            request, output, handle = entry
            request.last_step, outcome = self._num_steps, outcomes[request]
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
