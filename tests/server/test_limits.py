"""Queues, clients that leave, clients that do not read: on a real server."""

import json
import logging
import socket
import threading
import time

import pytest

from redraft.errors import InvalidRequest, Overloaded
from redraft.server.limits import Admission

BODY = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1500, "diffusion": {"max_denoising_steps": 500}}


def post(url, path="/v1/chat/completions", **fields):
    """A socket on which the request has been sent."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({**BODY, "temperature": 2.0, **fields}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(head.encode() + body)
    return connection


def is_idle_within(engine, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not engine._hub._running and not engine._hub._inbox:
            return True
        time.sleep(0.01)
    return False


def has_started(engine):
    end = time.monotonic() + 20
    while not engine._hub._running and time.monotonic() < end:
        time.sleep(0.01)
    return bool(engine._hub._running)


@pytest.mark.parametrize(
    "fields", [{"stream": True}, {"stream": True, "diffusion": {"draft": "tokens"}}, {"stream": False}, {"n": 3}]
)
def test_a_closed_socket_stops_the_request(served, chat_engine, fields):
    connection = post(served, **fields)
    assert has_started(chat_engine)
    connection.close()
    assert is_idle_within(chat_engine, 5)


def test_the_log_says_that_a_client_left(served, chat_engine, caplog):
    with caplog.at_level(logging.INFO, logger="redraft.server.access"):
        connection = post(served, stream=True)
        assert has_started(chat_engine)
        connection.close()
        assert is_idle_within(chat_engine, 5)
        end = time.monotonic() + 5
        while not caplog.records and time.monotonic() < end:
            time.sleep(0.01)
    assert json.loads(caplog.records[-1].message)["left"]


def test_a_closed_socket_stops_a_decision(served, chat_engine):
    questions = {str(i): {"type": "noul", "instructions": "Is it?"} for i in range(12)}
    connection = post(served, "/v1/decisions", state="x", questions=questions, reads=64)
    assert has_started(chat_engine)
    connection.close()
    assert is_idle_within(chat_engine, 2)


def test_a_hundred_aborted_streams_leave_nothing_behind(served, chat_engine):
    before = threading.active_count()
    for _ in range(100):
        post(served, stream=True).close()
    assert is_idle_within(chat_engine, 20)
    assert threading.active_count() <= before + 5


def all_of(connection):
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_server_that_stops_ends_what_runs_and_takes_nothing_new(run_server, chat_engine):
    with run_server({"tiny": chat_engine}) as server, post(server.url, stream=True, max_tokens=60) as connection:
        assert has_started(chat_engine)
        server.stop()
        told = all_of(connection)
        assert b"data: [DONE]" in told and b'"error"' not in told
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address, timeout=5)


def test_what_takes_too_long_to_end_is_told_so(run_server, chat_engine):
    with (
        run_server({"tiny": chat_engine}, shutdown_timeout=1) as server,
        post(server.url, stream=True) as streaming,
        post(server.url) as waiting,
    ):
        assert has_started(chat_engine)
        server.stop()
        assert b'data: {"error":{"message":"the request was cancelled"' in all_of(streaming)
        assert all_of(waiting).startswith(b"HTTP/1.1 503")
    assert is_idle_within(chat_engine, 5)


def test_one_choice_too_many_waits_elsewhere():
    admission = Admission(3)
    with admission.admit(2):
        with pytest.raises(Overloaded, match="2 choices"), admission.admit(2):
            pass
        with admission.admit(1):
            pass
    with pytest.raises(InvalidRequest, match="at most 3"), admission.admit(4):
        pass
    assert admission.in_flight == 0


def test_a_full_queue_is_a_429_that_says_when_to_come_back(make_client):
    client = make_client(max_queue=1)
    service = client.app._app.state.service
    with service.admission.admit(service.admission.limit):
        response = client.post("/v1/chat/completions", json={**BODY, "max_tokens": 2})
    assert (response.status_code, response.json()["error"]["type"]) == (429, "rate_limit_error")
    assert int(response.headers["retry-after"]) >= 1


def test_a_failing_request_leaves_the_others_alone(chat_engine, chat, monkeypatch, caplog):
    from redraft.server import stream

    def broken(self, draft):
        raise RuntimeError("a fault")

    alone = chat(stream=True).text.count("data: ")
    with monkeypatch.context() as patch:
        patch.setattr(stream.Frames, "offer", broken)
        failed = chat(stream=True, diffusion={"draft": "text"}).text
    assert '"type":"server_error"' in failed and "a fault" not in failed
    assert "RuntimeError: a fault" in caplog.text
    assert chat(stream=True).text.count("data: ") == alone
    assert is_idle_within(chat_engine, 5)


@pytest.mark.parametrize(
    ("path", "fields", "named"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a " * 500_000}]}, "messages"),
        ("/v1/completions", {"prompt": "a " * 500_000}, "prompt"),
        ("/v1/fim/completions", {"prompt": "a " * 500_000, "suffix": "b"}, "before"),
        ("/infill", {"input_prefix": "a", "input_suffix": "b " * 500_000}, "after"),
        (
            "/v1/decisions",
            {"state": "a " * 500_000, "questions": {"q": {"type": "noul", "instructions": "x"}}},
            "messages",
        ),
    ],
)
def test_a_text_that_no_context_holds_is_refused_without_encoding_it(
    client, chat_engine, monkeypatch, path, fields, named
):
    longest = []
    encode = chat_engine.tokenizer._encode
    monkeypatch.setattr(
        chat_engine.tokenizer,
        "_encode",
        lambda kind, text, **more: longest.append(len(text)) or encode(kind, text, **more),
    )
    response = client.post(path, json=fields)
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(f"{named} of ")
    assert max(longest, default=0) < 1000
