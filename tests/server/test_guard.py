"""What reaches a route: Host, keys, sizes; and the headers of every reply."""

import http.client
import json
import logging

import pytest

from redraft.errors import InvalidRequest
from redraft.server.settings import Settings


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil.example"]
)
def test_a_host_that_is_not_ours_is_refused(client, host):
    assert client.get("/v1/models", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:8000", "[::1]:8000", "LOCALHOST", "192.168.1.5:80", "a.localhost"]
)
def test_addresses_and_localhost_are_ours(client, host):
    assert client.get("/v1/models", headers={"Host": host}).status_code == 200


def test_a_host_may_be_allowed_by_name(make_client):
    assert make_client(allowed_hosts=("gpu.lan",)).get("/health", headers={"Host": "gpu.lan:8000"}).status_code == 200


def test_keys_are_asked_for_where_there_are_any(make_client):
    client = make_client(api_keys=("secret", "other"))
    assert client.get("/v1/models").status_code == 401
    assert client.get("/v1/models", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/v1/models", headers={"Authorization": "Bearer other"}).status_code == 200
    assert client.get("/v1/models", headers={"X-Api-Key": "secret"}).status_code == 200
    assert client.get("/metrics").status_code == 401
    assert client.get("/health").status_code == 200


def test_a_large_body_is_refused_with_or_without_its_length(make_client):
    client = make_client(max_body=1000)
    head = {"Content-Type": "application/json"}
    assert client.post("/tokenize", content=b"x" * 2000, headers=head).status_code == 413
    chunks = (b"x" * 100 for _ in range(20))
    assert client.post("/tokenize", content=chunks, headers=head).status_code == 413


def test_other_origins_may_not_read_unless_they_are_named(client, make_client):
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.options("/v1/models", headers=asked).headers
    allowed = make_client(allowed_origins=("https://a.example",)).options("/v1/models", headers=asked)
    assert allowed.headers["access-control-allow-origin"] == "https://a.example"


def test_every_reply_carries_an_id_and_safe_headers(client):
    reply = client.get("/health", headers={"X-Request-Id": "abc"})
    assert (reply.headers["x-request-id"], reply.headers["x-content-type-options"]) == ("abc", "nosniff")
    assert len(client.get("/nope", headers={"X-Request-Id": "a\nb" * 99}).headers["x-request-id"]) == 32


def test_each_request_is_logged_as_one_json_line(chat, caplog):
    with caplog.at_level(logging.INFO, logger="redraft.server.access"):
        chat()
    record = json.loads(caplog.records[-1].message)
    assert (record["path"], record["status"]) == ("/v1/chat/completions", 200)
    assert record["forward_passes"] >= 1


@pytest.mark.parametrize(
    "wrong",
    [{"port": 70000}, {"api_keys": (" ",)}, {"allowed_origins": ("*",)}, {"max_queue": 0}, {"write_timeout": 0}],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        Settings(**wrong)


def test_head_is_get_without_its_body_on_a_connection_that_goes_on(served, caplog):
    connection = http.client.HTTPConnection(served.removeprefix("http://"))
    with caplog.at_level(logging.INFO, logger="redraft.server.access"):
        for path, status in (("/", 200), ("/health", 200), ("/v1/models", 200), ("/v1/chat/completions", 405)):
            connection.request("GET", path)
            length = len(connection.getresponse().read())
            connection.request("HEAD", path)
            response = connection.getresponse()
            assert (response.status, response.read()) == (status, b"")
            assert int(response.headers["Content-Length"]) == length > 0
    connection.close()
    assert json.loads(caplog.records[1].message)["method"] == "HEAD"
