"""Exceptions -> replies in the shape that OpenAI's clients read, with the status they act on."""

import logging
import re
import reprlib
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from redraft.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    ModelFailure,
    OutOfMemory,
    Overloaded,
    RedraftError,
)
from redraft.server.schema import FIELDS
from redraft.server.wire import JSONReply

logger = logging.getLogger(__name__)

RETRY_AFTER = "1"  # seconds
# error: (status, type, code, headers). Clients retry 408, 409, 429 and 5xx by themselves unless told otherwise.
_KINDS: Mapping[type[Exception], tuple[int, str, str | None, Mapping[str, str]]] = {
    InvalidRequest: (400, "invalid_request_error", None, {}),
    OutOfMemory: (400, "invalid_request_error", "context_length_exceeded", {}),
    Overloaded: (429, "rate_limit_error", "overloaded", {"Retry-After": RETRY_AFTER}),
    DeadlineExceeded: (408, "timeout_error", "deadline_exceeded", {"X-Should-Retry": "false"}),
    Cancelled: (503, "unavailable_error", "shutting_down", {"Retry-After": RETRY_AFTER}),
    ModelFailure: (500, "server_error", "model_failure", {}),
}
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_NOT_FIELDS = (
    "body",
    "query",
    "path",
    "str",
    "int",
    "constrained-str",
)  # in a path to a problem: where, or which type was tried
_FIELD = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?=[\[.=: ])")


class RefusalError(Exception):
    """A reply other than 200 that no exception of the engine stands for."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


def error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def describe(error: Exception) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    """Status, body and extra headers for any exception; what we did not raise on purpose says nothing of itself."""
    if isinstance(error, RefusalError):
        kind = _TYPES.get(error.status, "invalid_request_error")
        return error.status, error_body(str(error), kind, error.param, error.code), {}
    for kind, (status, name, code, headers) in _KINDS.items():
        if isinstance(error, kind):
            return status, error_body(str(error), name, _param(error), code), headers
    return 500, error_body("the server failed, its log says how", "server_error"), {}


def reply_to(error: Exception) -> JSONReply:
    status, body, headers = describe(error)
    return JSONReply(body, status, dict(headers))


def install(app: FastAPI) -> None:
    """Make every error of the app one of ours."""

    async def on_ours(_: Request, error: Exception) -> JSONReply:
        return reply_to(error)

    async def on_fault(request: Request, error: Exception) -> JSONReply:
        logger.error("request %s failed", request.state.request_id, exc_info=error)
        return reply_to(error)

    async def on_validation(_: Request, error: Exception) -> JSONReply:
        assert isinstance(error, RequestValidationError)
        message, param = _first_problem(error)
        return JSONReply(error_body(message, "invalid_request_error", param), 400)

    async def on_http(request: Request, error: Exception) -> JSONReply:
        assert isinstance(error, HTTPException)
        message = {
            404: f"no such path: {request.url.path}",
            405: f"{request.method} is not for {request.url.path}",
        }.get(error.status_code, str(error.detail))
        body = error_body(message, _TYPES.get(error.status_code, "invalid_request_error"))
        return JSONReply(body, error.status_code, dict(error.headers or {}))

    app.add_exception_handler(RedraftError, on_ours)
    app.add_exception_handler(RefusalError, on_ours)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_fault)


def _param(error: Exception) -> str | None:
    """The field that the message of a refusal begins with, as our messages do, where requests have such a field."""
    match = _FIELD.match(str(error)) if isinstance(error, InvalidRequest) else None
    return match[1] if match and match[1] in FIELDS else None


def _first_problem(error: RequestValidationError) -> tuple[str, str | None]:
    """What is wrong with a body: of a value that fits none of several shapes, the shape it came closest to."""
    problems = error.errors()
    if not problems:
        return "the request is not valid", None
    worst = max(problems, key=lambda problem: (len(problem["loc"]), not problem["type"].endswith("_type")))
    path = [part for part in worst["loc"] if part not in _NOT_FIELDS and "[" not in str(part)]
    if worst["type"] == "json_invalid":
        return f"the body is not JSON: {worst['ctx']['error']} (at {worst['loc'][-1]})", None
    if not path:
        return "the body: want a JSON object, sent with Content-Type: application/json", None
    shown = "" if worst["type"] == "missing" else f"={reprlib.repr(worst['input'])}"
    return f"{_dotted(path)}{shown}: {worst['msg'].replace('Input should be', 'want')}", str(path[0])


def _dotted(path: list[Any]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
