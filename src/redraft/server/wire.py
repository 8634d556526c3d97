"""JSON in and out: what is read is finite and valid, what is written is ASCII."""

import json
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response

MAX_DEPTH = 100  # of nested objects and lists


def read_json(body: bytes) -> Any:
    """The JSON value of a body; JSONDecodeError says what is wrong, also with NaN, bad UTF-8 and deep nesting."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse)
        _check_depth(value)
        return value
    except json.JSONDecodeError:
        raise
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("not valid UTF-8", "", error.start) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        raise json.JSONDecodeError(str(error)[:100], "", 0) from error


def write_json(value: Any) -> bytes:
    """ASCII JSON: a lone surrogate that a caller sent and an error quotes is an escape, not a fault."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


class JSONReply(JSONResponse):
    """A JSON response, whatever the value's strings hold."""

    def render(self, content: Any) -> bytes:
        return write_json(content)


class _JSONRequest(Request):
    async def json(self) -> Any:
        return read_json(await self.body())


class JSONRoute(APIRoute):
    """A route whose body is read by `read_json`."""

    def get_route_handler(self):
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_JSONRequest(request.scope, request.receive))

        return handle


def _check_depth(value: Any) -> None:
    """Raises ValueError past MAX_DEPTH: what walks a value recursively must not run out of stack."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [item for items in inner for item in items if isinstance(item, dict | list)]


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")
