"""Chat messages and tools as clients send them (the OpenAI chat API) -> what chat templates expect."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from redraft.errors import InvalidRequest

ROLES = ("system", "developer", "user", "assistant", "tool")
_THOUGHTS = ("reasoning", "reasoning_content", "thinking")  # names clients use for the thoughts of an assistant message


def checked_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copies with `content` a string, arguments of tool calls as objects, and tool messages named after their call.

    Text parts are joined by line breaks. Thoughts stay only after the last user message, where a model is still busy
    with tools, under the names `reasoning` and `reasoning_content`. Other keys are the template's to read. Raises
    InvalidRequest naming the message.
    """
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise InvalidRequest(f"messages={messages!r}: want a list with at least one message")
    checked = [_message(message, f"messages[{i}]") for i, message in enumerate(messages)]
    last_user = max((i for i, message in enumerate(checked) if message["role"] == "user"), default=-1)
    names: dict[str, str] = {}
    for i, message in enumerate(checked):
        thoughts = [message.pop(key, None) for key in _THOUGHTS]
        thought = next((text for text in thoughts if text), None)
        if i > last_user and isinstance(thought, str):
            message.update(reasoning=thought, reasoning_content=thought)
        names.update({call["id"]: call["function"]["name"] for call in message.get("tool_calls", ())})
        if message["role"] == "tool" and not message.get("name"):
            message["name"] = names.get(str(message.get("tool_call_id")), "tool")
    return checked


def checked_tools(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Copies of the tools, each with a named function; None for none. Raises InvalidRequest naming the tool."""
    if not tools:
        return None
    for i, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
            raise InvalidRequest(f"tools[{i}]={tool!r}: want {{'type': 'function', 'function': {{'name': ...}}}}")
    return [dict(tool) for tool in tools]


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise InvalidRequest(f"{where}={message!r}: want an object with role and content")
    if message.get("role") not in ROLES:
        raise InvalidRequest(f"{where}.role={message.get('role')!r}: want one of {', '.join(ROLES)}")
    calls = message.get("tool_calls") or ()
    checked = {key: value for key, value in message.items() if key != "tool_calls"}
    if calls:
        if message["role"] != "assistant":
            raise InvalidRequest(f"{where}.tool_calls: want them in assistant messages only")
        if isinstance(calls, str) or not isinstance(calls, Sequence):
            raise InvalidRequest(f"{where}.tool_calls={calls!r}: want a list")
        checked["tool_calls"] = [_call(call, f"{where}.tool_calls[{i}]") for i, call in enumerate(calls)]
    content = message.get("content")
    if content is None and (message["role"] != "assistant" or not calls):
        raise InvalidRequest(f"{where}.content: want text")
    checked["content"] = "" if content is None else _text(content, f"{where}.content")
    return checked


def _text(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise InvalidRequest(f"{where}={content!r}: want text or a list of text parts")
    for i, part in enumerate(content):
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, Mapping) else part
            raise InvalidRequest(f"{where}[{i}] is of type {kind!r}: want text, other kinds of input are not supported")
    return "\n".join(part["text"] for part in content)


def _call(call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidRequest(f"{where}={call!r}: want an object with function.name and function.arguments")
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(arguments, Mapping):
        raise InvalidRequest(f"{where}.function.arguments={function['arguments']!r}: want a JSON object")
    return {
        "id": str(call.get("id")),
        "type": "function",
        "function": {"name": function["name"], "arguments": dict(arguments)},
    }
