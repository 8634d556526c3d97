"""Events of the engine -> server-sent events: drafts, committed text, the end."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from redraft.engine.handle import Event, Handle
from redraft.reply import Commit, Draft, Finish, Reply
from redraft.server.errors import describe
from redraft.server.exchange import DraftWish, Exchange
from redraft.server.limits import merged
from redraft.server.wire import write_json

logger = logging.getLogger(__name__)

KEYFRAME = 16  # frames of mode "tokens" between two that carry the whole text
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"

Decode = Callable[[Sequence[int]], str]


class Frames:
    """Drafts of one choice as a client sees them: at most one per interval, each a difference to the one before.

    A draft may be passed over, here or where the client reads slowly; what it changed comes with the next frame. The
    last of a canvas is always sent.
    """

    def __init__(self, wish: DraftWish, decode: Decode):
        self._wish, self._decode = wish, decode
        self._held: Draft | None = None
        self._last_sent = -1e9
        self._num_sent = 0
        self._canvas_index = -1
        self._cells: dict[int, tuple[int, str, float | None]] = {}  # position: id, text, probability; as of now
        self._shown: dict[int, int] = {}  # position: id; as the client has it

    def offer(self, draft: Draft) -> dict[str, Any] | None:
        """The frame to send now, if it is time for one."""
        self._note(draft)
        self._held = draft
        return self.flush() if time.monotonic() - self._last_sent >= self._wish.interval else None

    def flush(self) -> dict[str, Any] | None:
        """The frame of the latest draft, if it has not been sent."""
        draft, self._held = self._held, None
        if draft is None:
            return None
        self._last_sent = time.monotonic()
        frame = {
            "canvas_index": draft.canvas_index,
            "denoising_step": draft.denoising_step,
            "accepted": list(draft.accepted),
            "mean_entropy": draft.mean_entropy,
            "temperature": draft.temperature,
        }
        if self._wish.mode == "tokens":
            frame["changed"] = self._changed()
        if self._wish.mode != "tokens" or self._num_sent % KEYFRAME == 0:
            frame["text"] = draft.text
        self._num_sent += 1
        return frame

    def _note(self, draft: Draft) -> None:
        if draft.canvas_index != self._canvas_index:
            self._canvas_index, self._cells, self._shown, self._num_sent = draft.canvas_index, {}, {}, 0
        if self._wish.mode != "tokens":
            return
        for position, text, probability in draft.changed:
            self._cells[position] = (draft.token_ids[position], text, probability)
        for position, token_id in enumerate(draft.token_ids):
            if self._cells.get(position, (None,))[0] != token_id:  # its draft was dropped: nobody knows the probability
                self._cells[position] = (token_id, self._decode([token_id]), None)

    def _changed(self) -> list[tuple[int, str, float | None]]:
        changed = []
        for position, (token_id, text, probability) in self._cells.items():
            if self._shown.get(position) != token_id:
                self._shown[position] = token_id
                changed.append((position, text, probability if probability is None else round(probability, 4)))
        return sorted(changed)


async def server_sent_events(
    exchange: Exchange,
    handles: Sequence[Handle],
    decode: Decode,
    ping_interval: float,
    note: Callable[[Event | Exception], None],
) -> AsyncGenerator[bytes, None]:
    """The lines of a streamed reply. An error ends it as data; leaving cancels the handles."""
    lines = _Lines(exchange, [Frames(exchange.drafts, decode) for _ in handles])
    try:
        for line in lines.opening(len(handles)):
            yield line
        async for item in merged(handles, ping_interval):
            if item is None:
                yield PING
                continue
            index, event = item
            note(event)
            for line in lines.of(index, event):
                yield line
        for line in lines.ending():
            yield line
    except Exception as error:
        note(error)
        status, body, _ = describe(error)
        if status == 500:
            logger.error("reply %s failed", exchange.id, exc_info=error)
        yield b"data: " + write_json(body) + b"\n\n"
    finally:
        for handle in handles:
            handle.cancel()


class _Lines:
    """Turns events into lines; knows what has been shown."""

    def __init__(self, exchange: Exchange, frames: list[Frames]):
        self._exchange, self._frames = exchange, frames
        self._text = [""] * len(frames)
        self._replies: dict[int, Reply] = {}

    def opening(self, count: int) -> list[bytes]:
        choices = (self._exchange.dialect.opening(index) for index in range(count))
        return [self._line([choice]) for choice in choices if choice is not None]

    def of(self, index: int, event: Draft | Commit | Finish) -> list[bytes]:
        if isinstance(event, Draft):
            return self._draft(index, self._frames[index].offer(event))
        last = self._draft(index, self._frames[index].flush())
        if isinstance(event, Commit):
            return last + self._commit(index, event)
        self._replies[index] = event.reply
        return last + self._finish(index, event.reply)

    def ending(self) -> list[bytes]:
        """Usage where it was asked for: it has no choices, which loops that index them do not survive."""
        if not self._exchange.includes_usage:
            return [DONE]
        usage = self._exchange.usage([self._replies[index] for index in sorted(self._replies)])
        return [self._line([], usage=usage), DONE]

    def _draft(self, index: int, frame: dict[str, Any] | None) -> list[bytes]:
        if frame is None or self._exchange.drafts.mode == "off":
            return []
        if self._exchange.drafts.mode == "whole":
            return [self._line([self._exchange.dialect.whole(index, self._text[index] + frame["text"])])]
        return [self._line([self._exchange.dialect.empty(index)], diffusion=frame)]

    def _commit(self, index: int, commit: Commit) -> list[bytes]:
        if self._exchange.drafts.mode == "whole" and commit.channel == "answer":
            self._text[index] += commit.text
            return [self._line([self._exchange.dialect.whole(index, self._text[index])])]
        choice = self._exchange.dialect.delta(index, commit)
        return [] if choice is None else [self._line([choice])]

    def _finish(self, index: int, reply: Reply) -> list[bytes]:
        *before, last = self._exchange.dialect.closing(index, reply)
        more: dict[str, Any] = {"seed": reply.seed, "warnings": self._exchange.all_warnings([reply])}
        return [*(self._line([choice]) for choice in before), self._line([last], **more)]

    def _line(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        if self._exchange.includes_usage and "usage" not in more:
            replies = list(self._replies.values())
            counts = self._exchange.usage_in_every_chunk and replies
            more["usage"] = self._exchange.usage(replies) if counts else None
        return b"data: " + write_json(self._exchange.chunk(choices, **more)) + b"\n\n"


class EventStream(Response):
    """Sends lines as they come and stops when the client leaves; `on_end` hears in every case whether it did."""

    media_type = "text/event-stream"

    def __init__(self, lines: AsyncGenerator[bytes, None], on_end: Callable[[bool], None]):
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._lines, self._on_end = lines, on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.ensure_future(self._write(send))
        leaving, has_left = asyncio.ensure_future(departure(receive)), False
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            has_left = not writing.done()
            if not has_left:
                writing.result()
        finally:
            writing.cancel()
            leaving.cancel()
            await asyncio.gather(writing, leaving, return_exceptions=True)
            await self._lines.aclose()
            self._on_end(has_left)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for line in self._lines:
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def departure(receive: Receive) -> None:
    """Returns when the client has closed its end."""
    while (await receive())["type"] != "http.disconnect":
        pass
