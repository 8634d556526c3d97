"""What every request passes before a route sees it (Host, key, size and time of its body), and what replies carry."""

import asyncio
import hashlib
import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redraft.server.errors import RefusalError, reply_to
from redraft.server.settings import Settings

logger = logging.getLogger("redraft.server.access")

OPEN_PATHS = ("/", "/health")  # reachable without a key: the page asks for it
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """The outermost ASGI layer. `on_done(path template, status, seconds)` hears of each finished request."""

    def __init__(self, app: ASGIApp, settings: Settings, on_done: Callable[[str, int, float], None]):
        self._app, self._settings, self._on_done = app, settings, on_done
        self._digests = [hashlib.sha256(key.encode()).digest() for key in settings.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started, status = time.monotonic(), [0]
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        scope.setdefault("state", {}).update(request_id=request_id, figures={})

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                reply_headers = MutableHeaders(scope=message)
                reply_headers["X-Request-Id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    reply_headers.setdefault(name, value)
            # A client that reads nothing for this long counts as gone: what it asked for must not run for nobody.
            async with asyncio.timeout(self._settings.write_timeout):
                await send(message)

        try:
            await self._handle(scope, headers, receive, send_on)
        except TimeoutError:
            status[0] = status[0] or 408
        finally:
            self._log(scope, request_id, status[0], time.monotonic() - started)
        return None

    async def _handle(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            return await reply_to(refusal)(scope, receive, send)
        # HEAD is GET without the body, which the server below us leaves out: it still sees the method it was sent.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        await self._app(inner, _BodyLimit(receive, self._settings).receive, send)
        scope["route"] = inner.get("route")
        return None

    def _refusal(self, scope: Scope, headers: Headers) -> RefusalError | None:
        host = headers.get("host", "")
        if not self._settings.allows_host(host):
            message = f"the Host header {host[:80]!r} does not name this server: see --allowed-host"
            return RefusalError(421, message, code="wrong_host")
        is_open = scope["path"] in OPEN_PATHS or scope["method"] == "OPTIONS"
        if self._digests and not is_open and not self._is_known(headers):
            return RefusalError(401, "want a key: Authorization: Bearer KEY", code="invalid_api_key")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._settings.max_body:
            return _too_large(self._settings)
        return None

    def _is_known(self, headers: Headers) -> bool:
        """Compared as digests and in constant time, every key each time."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0

    def _log(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")  # never the raw path: metrics must stay few
        self._on_done(route, status, seconds)
        record = {"request_id": request_id, "method": scope["method"], "path": scope["path"], "status": status}
        logger.info(json.dumps({**record, "seconds": round(seconds, 4), **scope["state"]["figures"]}))


class _BodyLimit:
    """`receive` that gives up on a body that is too large or too slow."""

    def __init__(self, receive: Receive, settings: Settings):
        self._receive, self._settings = receive, settings
        self._size, self._is_complete = 0, False
        self._end = time.monotonic() + settings.body_timeout

    async def receive(self) -> Message:
        if self._is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._end - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive in {self._settings.body_timeout:g} s") from None
        self._size += len(message.get("body", b""))
        if self._size > self._settings.max_body:
            raise HTTPException(413, str(_too_large(self._settings)))
        self._is_complete = not message.get("more_body", False)
        return message


def _too_large(settings: Settings) -> RefusalError:
    return RefusalError(413, f"the body is larger than {settings.max_body:,} bytes, the limit", code="body_too_large")
