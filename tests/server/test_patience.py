"""Clients that send too slowly or do not read: nobody waits for them for ever."""

import asyncio
import json
import socket
import time
from types import SimpleNamespace

import pytest

from redraft.server.guard import Guard
from redraft.server.settings import Settings

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/",
    "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
}


async def never():
    await asyncio.Event().wait()


async def echo(scope, receive, send):
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def through_guard(receive, send, app=echo, **settings):
    done = []
    guard = Guard(app, Settings(**settings), lambda *seen: done.append(seen))
    asyncio.run(asyncio.wait_for(guard({**SCOPE}, receive, send), 5))
    return done[0]


def test_a_client_that_does_not_read_counts_as_gone():
    async def receive():
        return {"type": "http.request", "body": b"{}"}

    async def send(message):
        await never()

    assert through_guard(receive, send, write_timeout=0.05)[1] == 200


def test_a_body_that_does_not_come_is_not_waited_for():
    from starlette.exceptions import HTTPException

    async def send(message):
        pass

    with pytest.raises(HTTPException, match="did not arrive"):
        through_guard(never, send, body_timeout=0.05)


@pytest.fixture(scope="module")
def impatient(run_server):
    """A server that waits half a second for headers, and one for a reply to be taken."""
    engine = SimpleNamespace(_scheduler=SimpleNamespace(max_batch=1), close=lambda: None)
    with run_server({"none": engine}, header_timeout=0.5, write_timeout=1) as server:
        yield server


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_request_that_never_ends_its_headers_is_closed(impatient, sent):
    with socket.create_connection(impatient.address, timeout=10) as connection:
        connection.sendall(sent)
        assert connection.recv(100) == b""


def test_a_second_request_may_take_no_longer_than_the_first(impatient):
    with socket.create_connection(impatient.address, timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /hea")
        while chunk := connection.recv(4096):
            assert b"HTTP/1.1" not in chunk


def test_a_connection_whose_client_never_reads_is_dropped(impatient):
    with socket.create_connection(impatient.address) as connection:
        connection.settimeout(1)
        with pytest.raises(OSError):  # its buffer is full, or it is gone
            while True:
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        end = time.monotonic() + 20
        while impatient.connections and time.monotonic() < end:
            time.sleep(0.05)
        assert not impatient.connections


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n{}",
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_gets_an_error_in_our_shape(impatient, sent):
    with socket.create_connection(impatient.address, timeout=10) as connection:
        connection.sendall(sent)
        reply = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400") and set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
