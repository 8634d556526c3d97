"""What all route files share."""

from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from redraft.server.replies import CHUNKS, ErrorReply
from redraft.server.wire import JSONReply, JSONRoute

_REFERENCE = "#/components/schemas/{model}"
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


def replies(model: Any, chunk: type[BaseModel] | None = None) -> dict[int | str, dict[str, Any]]:
    """The responses of a route: its own, server-sent events of chunks where it streams, and the errors."""
    own: dict[str, Any] = {"model": model}
    if chunk is not None:
        own["content"] = {"text/event-stream": {"schema": _event(chunk)}}
        own["description"] = f"A reply, or a stream of events whose data is a {chunk.__name__}, the last one [DONE]"
    return {200: own, **ERRORS}


def describe_chunks(app: FastAPI) -> None:
    """Adds the chunks of streams, which no route returns as a whole, to what /openapi.json describes."""
    document = app.openapi()
    _, described = models_json_schema([(chunk, "serialization") for chunk in CHUNKS], ref_template=_REFERENCE)
    document["components"]["schemas"] |= described["$defs"]


def _event(chunk: type[BaseModel]) -> dict[str, Any]:
    """The schema of a server-sent event."""
    content = {"anyOf": [{"$ref": _REFERENCE.format(model=name)} for name in (chunk.__name__, "ErrorReply")]}
    encoded = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
    return {"type": "object", "properties": {"data": {"anyOf": [{"const": "[DONE]"}, encoded]}}, "required": ["data"]}
