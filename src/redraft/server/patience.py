"""uvicorn's HTTP protocol, with an end to waiting for a request that does not come, and errors in our shape."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from redraft.server.errors import error_body
from redraft.server.wire import write_json


def patient(seconds: float) -> type[H11Protocol]:
    """A protocol that closes connections whose request line and headers take longer than `seconds` to arrive."""

    class Patient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch(is_new=True)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop()

        def send_400_response(self, msg: str) -> None:
            """Answers what is no HTTP request, unless a reply to it has begun."""
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                body = write_json(error_body(msg, "invalid_request_error"))
                length = str(len(body)).encode()
                headers = [
                    (b"content-type", b"application/json"),
                    (b"content-length", length),
                    (b"connection", b"close"),
                ]
                for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def _watch(self, is_new: bool = False) -> None:
            has_begun = is_new or self.cycle is None or bool(self.conn.trailing_data[0])
            if self.conn.their_state is not h11.IDLE or not has_begun:
                self._stop()
            elif self._timer is None:
                self._timer = self.loop.call_later(seconds, self.transport.close)

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Patient
