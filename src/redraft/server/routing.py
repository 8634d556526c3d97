"""What all route files share."""

from typing import Any

from fastapi import APIRouter

from redraft.server.replies import ErrorReply
from redraft.server.wire import JSONReply, JSONRoute

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": text}
    for status, text in (
        (400, "The request is wrong; the message names the field, the value and what is wanted"),
        (401, "No known key"),
        (404, "No such model"),
        (408, "The body or the request's own deadline took too long"),
        (413, "The body is too large"),
        (421, "The Host header names another server"),
        (429, "Too many requests run or wait; Retry-After says when to come back"),
        (500, "The server failed"),
        (503, "The server is shutting down"),
    )
}


def router() -> APIRouter:
    return APIRouter(route_class=JSONRoute, default_response_class=JSONReply)


def replies(model: Any, *, streams: bool = False, chunk: Any = None) -> dict[int | str, dict[str, Any]]:
    """The responses of a route: its own, server-sent events where it streams, and the errors."""
    own: dict[str, Any] = {"model": model}
    if streams:
        own["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
        own["description"] = f"A reply, or a stream of events whose data is a {chunk or 'chunk'}"
    return {200: own, **ERRORS}
