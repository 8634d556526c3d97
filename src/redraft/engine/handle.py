"""The caller's end of a request: events to read, a flag to cancel. Safe between threads."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator

from redraft.errors import Cancelled, RedraftError
from redraft.reply import Commit, Draft, Finish, Reply

MAX_DRAFTS = 64  # frames that wait for a slow reader; older ones are dropped, commits never

Event = Draft | Commit | Finish


class Handle:
    """Events of one request in order, ending with Finish or with the error that ended it."""

    def __init__(self, wants_drafts: bool):
        self.wants_drafts = wants_drafts
        self.is_cancelled = False
        self._events: deque[Event] = deque()
        self._num_drafts = 0
        self._error: RedraftError | None = None
        self._is_over = False
        self._changed = threading.Condition()
        self._wake = None  # called after each change, from the engine's thread

    def push(self, event: Event) -> None:
        """Add an event; the oldest waiting draft makes room where there are too many."""
        with self._changed:
            if isinstance(event, Draft):
                if self._num_drafts >= MAX_DRAFTS:
                    self._events.remove(next(old for old in self._events if isinstance(old, Draft)))
                    self._num_drafts -= 1
                self._num_drafts += 1
            self._events.append(event)
            self._is_over = isinstance(event, Finish)
            self._announce()

    def fail(self, error: RedraftError) -> None:
        """End the stream with an error."""
        with self._changed:
            self._error, self._is_over = error, True
            self._announce()

    def cancel(self) -> None:
        """Ask for the request to stop before its next pass; harmless when it is over."""
        self.is_cancelled = True

    def events(self) -> Iterator[Event]:
        """Block for each event; leaving the loop early cancels."""
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(self._has_news)
                    event = self._take()
                if event is None:
                    return
                yield event
        finally:
            self.cancel()

    async def aevents(self) -> AsyncIterator[Event]:
        """The same without blocking the running event loop."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        with self._changed:
            self._wake = lambda: loop.call_soon_threadsafe(news.set)
        try:
            while True:
                with self._changed:
                    has_news = self._has_news()
                    event = self._take() if has_news else None
                if event is not None:
                    yield event
                elif has_news:
                    return
                else:
                    await news.wait()
                    news.clear()
        finally:
            self._wake = None
            self.cancel()

    def reply(self) -> Reply:
        """Wait for the end and return the reply."""
        for event in self.events():
            if isinstance(event, Finish):
                return event.reply
        raise Cancelled("the request ended without a reply")

    async def areply(self) -> Reply:
        async for event in self.aevents():
            if isinstance(event, Finish):
                return event.reply
        raise Cancelled("the request ended without a reply")

    def _has_news(self) -> bool:
        return bool(self._events) or self._is_over

    def _take(self) -> Event | None:
        """The next event, None after the last; raises the error that ended the request."""
        if self._events:
            event = self._events.popleft()
            self._num_drafts -= isinstance(event, Draft)
            return event
        if self._error is not None:
            raise self._error
        return None

    def _announce(self) -> None:
        self._changed.notify_all()
        if self._wake is not None:
            try:
                self._wake()
            except RuntimeError:  # the reader's event loop is closed: nobody listens any more
                self._wake, self.is_cancelled = None, True
