"""What a reply must look like -> a constraint: response formats, and tool calls that a client forces."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redraft.constraints.spec import Choice, Constraint, Free, JSONSchema, Regex, Template, TextConstraint
from redraft.errors import InvalidRequest
from redraft.reply import Reply, ToolCall
from redraft.server.schema import (
    ChatRequest,
    ChoiceFormat,
    Format,
    Hole,
    JSONObjectFormat,
    JSONSchemaFormat,
    NamedTool,
    RegexFormat,
    TemplateFormat,
)

ANY_OBJECT = {"type": "object", "additionalProperties": True}
NO_ARGUMENTS = {"type": "object", "properties": {}}


def constraint_of(form: Format | None) -> Constraint | None:
    """The constraint of a `response_format`, None for plain text."""
    if isinstance(form, JSONObjectFormat):
        return JSONSchema(ANY_OBJECT)
    if isinstance(form, JSONSchemaFormat):
        return JSONSchema(form.json_schema.json_schema)
    if isinstance(form, RegexFormat):
        return Regex(form.regex)
    if isinstance(form, ChoiceFormat):
        return Choice(form.choices)
    if isinstance(form, TemplateFormat):
        holes = {name: _hole(name, hole) for name, hole in (form.holes or {}).items()}
        return Template(form.template, holes)
    return None


@dataclass(frozen=True)
class ForcedCall:
    """A tool call the reply must be: JSON arguments of one named tool, or a JSON object that names the tool as well.

    The model writes plain JSON under this constraint, so a checkpoint without tool markers can be forced too.
    """

    tools: Mapping[str, Any]  # name: schema of its arguments
    is_named: bool  # the client named the tool

    @property
    def constraint(self) -> JSONSchema:
        if self.is_named:
            return JSONSchema(next(iter(self.tools.values())))
        options = [
            {
                "type": "object",
                "properties": {"name": {"const": name}, "arguments": schema},
                "required": ["name", "arguments"],
            }
            for name, schema in self.tools.items()
        ]
        return JSONSchema(options[0] if len(options) == 1 else {"anyOf": options})

    def read(self, reply: Reply) -> ToolCall:
        """The call that a reply under the constraint is."""
        value = json.loads(reply.text)
        if self.is_named:
            return ToolCall(name=next(iter(self.tools)), arguments=value)
        return ToolCall(name=value["name"], arguments=value["arguments"])


def forced_call(body: ChatRequest) -> ForcedCall | None:
    """The call that `tool_choice` forces, None where the model decides. InvalidRequest names what does not fit."""
    if body.tool_choice in (None, "none", "auto"):
        return None
    tools = {tool.function.name: _arguments(tool.function.parameters) for tool in body.tools or ()}
    if not tools:
        raise InvalidRequest("tool_choice: there are no tools to call")
    if not isinstance(body.tool_choice, NamedTool):
        return ForcedCall(tools, is_named=False)
    name = body.tool_choice.function.name
    if name not in tools:
        raise InvalidRequest(f"tool_choice: no tool is called {name[:80]!r}, only {', '.join(tools)}")
    return ForcedCall({name: tools[name]}, is_named=True)


def tools_for_template(body: ChatRequest) -> Sequence[dict[str, Any]] | None:
    """The tools a prompt shows: none where the client wants none called."""
    if not body.tools or body.tool_choice == "none":
        return None
    return [tool.model_dump(exclude_unset=True) for tool in body.tools]


def _arguments(schema: dict[str, Any] | None) -> dict[str, Any]:
    """The schema of a tool's arguments, which are an object also where it does not say so."""
    if not schema:
        return NO_ARGUMENTS
    return schema if "type" in schema or "$ref" in schema else {"type": "object", **schema}


def _hole(name: str, hole: Hole) -> TextConstraint:
    given = [key for key in ("regex", "choices", "json_schema", "max_tokens") if getattr(hole, key) is not None]
    if len(given) > 1:
        raise InvalidRequest(f"response_format.holes[{name!r}] has {', '.join(given)}: want one of them")
    if hole.regex is not None:
        return Regex(hole.regex)
    if hole.choices is not None:
        return Choice(hole.choices)
    if hole.json_schema is not None:
        return JSONSchema(hole.json_schema)
    return Free(hole.max_tokens)
