"""Listening: uvicorn around the application, until it is told to stop."""

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping

import uvicorn

from redraft.engine.engine import Engine
from redraft.errors import InvalidRequest
from redraft.server.app import make_app
from redraft.server.patience import patient
from redraft.server.service import Service
from redraft.server.settings import Settings

LAST_WORDS = 5  # seconds for requests that did not finish in time to say so
KEEP_ALIVE = 5  # seconds that an idle connection stays open


def run(engines: Mapping[str, Engine], settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM; then no connection is taken, running requests may finish, and engines close.

    `on_ready` is called with the server's URL once it listens. Port 0 takes a free one.
    """
    listener = listen(settings)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    server = make_server(engines, settings)

    async def serve() -> None:
        on_ready(f"http://{shown}:{port}")
        await server.serve(sockets=[listener])

    try:
        asyncio.run(serve())
    finally:
        for engine in engines.values():
            engine.close()


class DrainingServer(uvicorn.Server):
    """Lets running requests finish when it is told to stop, and after a while ends them with an error."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        patience = self._service.settings.shutdown_timeout
        timer = asyncio.get_running_loop().call_later(patience, self._service.cancel_all)
        await super().shutdown(sockets)
        timer.cancel()


def make_server(engines: Mapping[str, Engine], settings: Settings) -> uvicorn.Server:
    """A uvicorn server of the application, not started."""
    service = Service(engines, settings)
    config = uvicorn.Config(
        make_app(service),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=settings.shutdown_timeout + LAST_WORDS,
        lifespan="on",
        ws="none",
        http=patient(settings.header_timeout),
    )
    return DrainingServer(config, service)


def listen(settings: Settings) -> socket.socket:
    """A bound socket; InvalidRequest where the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _give_up_on_silence(listener, settings.write_timeout)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise InvalidRequest(f"host={settings.host!r}, port={settings.port}: {error.strerror or error}") from None
    listener.listen(128)
    return listener


def _give_up_on_silence(listener: socket.socket, seconds: float) -> None:
    """Has the kernel end connections, inherited from `listener`, whose other side takes or confirms nothing this long.

    Closing such a connection would wait for it to read what was written, for ever.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(seconds)))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(1000 * seconds)))
