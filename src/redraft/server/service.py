"""The engines of a server, and the way of every request through them: admit, start, stream or collect, count."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

from fastapi import Request
from starlette.responses import Response

from redraft import __version__
from redraft.engine.engine import Engine
from redraft.engine.handle import Handle
from redraft.reply import Reply
from redraft.server.errors import RefusalError
from redraft.server.exchange import Exchange
from redraft.server.limits import Admission, collected
from redraft.server.metrics import Metrics
from redraft.server.settings import Settings
from redraft.server.stream import EventStream, departure, server_sent_events
from redraft.server.wire import JSONReply

Result = TypeVar("Result")


class ClientLeftError(Exception):
    """Nobody waits for the reply any more."""


class Service:
    """One per app. `engines` by the name clients use; the first answers where a request names none."""

    def __init__(self, engines: Mapping[str, Engine], settings: Settings):
        assert engines, "a server needs an engine"
        self.engines, self.settings = dict(engines), settings
        batch = sum(engine._scheduler.max_batch for engine in engines.values())
        self._running: set[Handle] = set()
        self.admission = Admission(batch + settings.max_queue)
        self.metrics = Metrics(self.engines, queue=lambda: self.admission.in_flight, limit=self.admission.limit)

    def named(self, model: str | None) -> tuple[str, Engine]:
        """The engine a request asks for and its name; RefusalError 404 where there is none."""
        name = model or next(iter(self.engines))
        if name not in self.engines:
            served = ", ".join(self.engines)
            raise RefusalError(
                404, f"model={name[:80]!r}: this server has {served}", param="model", code="model_not_found"
            )
        return name, self.engines[name]

    def fingerprint(self, engine: Engine) -> str:
        """What a seed's text is fixed for, next to the model: the release, the device kind and the dtype."""
        dtype = str(engine.model.dtype).removeprefix("torch.")
        return f"redraft-{__version__}-{engine.model.device.type}-{dtype}"

    async def answer(
        self, request: Request, exchange: Exchange, render: Callable[[list[Reply]], dict[str, Any]] | None = None
    ) -> Response:
        """The response to an exchange. A client that leaves cancels its choices before their next pass.

        `render` makes the body of a reply that does not stream, where the exchange's own is not it.
        """
        with ExitStack() as stack:
            stack.enter_context(self.admission.admit(exchange.weight or len(exchange.starts)))
            figures = request.state.figures
            figures["id"] = exchange.id
            note = self.metrics.of_request(exchange.model, figures)
            wants_drafts = exchange.is_stream and exchange.drafts.mode != "off"
            starting = self.admission.start(exchange.starts, wants_drafts=wants_drafts, compiles=exchange.compiles)
            handles = await self.unless_left(request, starting)
            self._running.update(handles)
            stack.callback(self._running.difference_update, handles)
            if exchange.is_stream:
                decode = self.engines[exchange.model].tokenizer.decode
                lines = server_sent_events(exchange, handles, decode, self.settings.ping_interval, note)
                held = stack.pop_all()
                return EventStream(lines, partial(_release, held, handles, figures))
            finished = await self.unless_left(request, collected(handles, note))
        return JSONReply((render or exchange.reply)(finished))

    async def unless_left(self, request: Request, work: Coroutine[Any, Any, Result]) -> Result:
        """The work's result; ClientLeftError, with the work cancelled, where the client goes first."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(departure(request.receive))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientLeftError
            return working.result()
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    def cancel_all(self) -> None:
        """End what runs, with an error for those who wait for it."""
        for handle in self._running:
            handle.cancel()

    def close(self) -> None:
        """Take nothing on any more; the engines are their owner's to close."""
        self.admission.close()


def _release(held: ExitStack, handles: list[Handle], figures: dict[str, Any], has_left: bool) -> None:
    if has_left:
        figures["left"] = True
    for handle in handles:
        handle.cancel()
    held.close()
