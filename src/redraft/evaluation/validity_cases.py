"""Constraints whose replies are judged without our automata: by `re`, `jsonschema` and reconstruction."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from redraft.constraints.spec import Choice, Free, Infill, JSONSchema, Regex, Template, TextConstraint
from redraft.errors import InvalidRequest
from redraft.reply import Draft, Reply
from redraft.text.tokenizer import Tokenizer

HEALED = 32  # bytes before a hole that may be written again; no token is longer

PATTERNS = (
    r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2})?",
    r"([A-Z][a-z]+ ){2,5}end",
    r"(foo|bar|naïve)+é",
    r"[^\n]{0,90}\n",
    r"((a|ab)(c|bcd)(d*))+",
    r"(\d{3} ){12,30}",
    r"[α-ω]{1,12}( [α-ω]+)?",
    r"(日本|中国|[一-龥]){2,6}語",
    r"[😀-🙏]{1,3}!?",
    r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?",
    r"(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}",
    r"(?i:yes|no|maybe)[.!]?",
    r'"([^"\\\n]|\\["\\nt])*"',
    r"(a|b)*a(a|b){6}",
    r"x?",
)
_TREE = {
    "type": "object",
    "properties": {"name": {"enum": ["å", "b"]}, "next": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}},
    "required": ["name"],
    "additionalProperties": False,
}
SCHEMAS: Mapping[str, Any] = {
    "person": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["a", "b", "ç"]}, "maxItems": 3},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    "numbers": {
        "type": "array",
        "items": {"anyOf": [{"type": "integer", "multipleOf": 7}, {"type": "number", "exclusiveMinimum": -1.5}]},
        "minItems": 2,
        "maxItems": 4,
    },
    "formats": {
        "type": "object",
        "properties": {"day": {"type": "string", "format": "date"}, "host": {"type": "string", "format": "ipv4"}},
        "required": ["day", "host"],
    },
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$", "maxLength": 9},
    "either": {"oneOf": [{"type": "boolean"}, {"const": None}, {"type": "string", "minLength": 3, "maxLength": 8}]},
    "recursion": _TREE,
}
# Text, then per hole its constraint and the pattern that judges it.
TEMPLATES: tuple[tuple[str, Mapping[str, tuple[TextConstraint, str]]], ...] = (
    (
        "Name: {name}\nAge: {age}.",
        {"name": (Regex("[A-Z][a-z]{2,9}"), "[A-Z][a-z]{2,9}"), "age": (Regex(r"\d{1,3}"), r"\d{1,3}")},
    ),
    (
        "Dear {name},\n{body}\nYours",
        {"name": (Regex("[A-Z][a-z]+"), "[A-Z][a-z]+"), "body": (Free(20), "(?s:.*)")},
    ),
    (
        '{{"ok": {ok}, "why": "{why}"}}',
        {"ok": (Choice(["true", "false"]), "true|false"), "why": (Regex(r'[^"\\\n]{0,30}'), r'[^"\\\n]{0,30}')},
    ),
    (
        "{one} 和 {other} → {rest}",
        {
            "one": (Choice(["é", "日本"]), "é|日本"),
            "other": (Regex("[ぁ-ん]+|x{2}"), "[ぁ-ん]+|x{2}"),
            "rest": (Free(), "(?s:.*)"),
        },
    ),
)
# Before, after, the hole's own pattern, stop strings.
INFILLS: tuple[tuple[str, str, str | None, tuple[str, ...]], ...] = (
    ("def mean(xs):\n    return ", "\n\nprint(mean([1, 2]))\n", None, ("\n",)),
    ("for i in range(", "):\n    total += i\nprint(total)\nprint(total / len(xs))\n", None, ("\n", ")")),
    ("naïve caf", "au lait\n", None, ("é", "日本")),
    ("x = ", "\ny = 2\n", r"\d{3,9}", ()),
    ('{"name": "', '", "age": 3}', r'[^"\\\n]{1,20}', ()),
    ("caf", " → 日本\n", "[é-ü ]{0,4}", (" é",)),
    ("", "tail\n", None, ()),
    ("head ", "", None, ()),
    ("", "", None, ("\n",)),
    ("", "", "(yes|no)+", ()),
)


@dataclass(frozen=True, eq=False)
class Case:
    """A constraint, and what finds the fault of a reply to it (None: none)."""

    kind: str  # "regex" | "schema" | "template" | "infill"
    name: str
    constraint: TextConstraint
    fault: Callable[[Reply, Tokenizer], str | None]
    stop: tuple[str, ...] = ()


def regex_cases() -> list[Case]:
    """A case per pattern."""
    return [Case("regex", pattern, Regex(pattern), _matching(pattern)) for pattern in PATTERNS]


def schema_case(name: str, schema: Any) -> Case:
    """The case of one schema, compiled here; InvalidRequest where it is refused or not valid itself."""
    jsonschema = _jsonschema()
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InvalidRequest(f"schema: not valid by its own draft ({error.message[:40]})") from error
    judge = kind(schema, format_checker=kind.FORMAT_CHECKER)

    def fault(reply: Reply, tokenizer: Tokenizer) -> str | None:
        try:
            judge.validate(json.loads(reply.text))
        except (ValueError, jsonschema.ValidationError) as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
        return None

    constraint = JSONSchema(schema)
    constraint.check()
    return Case("schema", name, constraint, fault)


def template_cases() -> list[Case]:
    """A case per template: the text is the template with the holes filled in, and every hole matches."""
    return [
        Case("template", text, Template(text, {name: hole for name, (hole, _) in holes.items()}), _filled(text, holes))
        for text, holes in TEMPLATES
    ]


def infill_cases() -> list[Case]:
    """A case per infill: what the canvases spell is text before, hole and text after."""
    cases = []
    for before, after, pattern, stop in INFILLS:
        hole = Free() if pattern is None else Regex(pattern)
        fault = _between(before.encode(), after.encode(), pattern, stop)
        cases.append(Case("infill", f"{before!r} {hole} {after!r}", Infill(before, after, hole), fault, stop))
    return cases


def _matching(pattern: str) -> Callable[[Reply, Tokenizer], str | None]:
    return lambda reply, _: None if re.fullmatch(pattern, reply.text, re.ASCII) else "no match"


def _filled(text: str, holes: Mapping[str, tuple[TextConstraint, str]]) -> Callable[[Reply, Tokenizer], str | None]:
    def fault(reply: Reply, tokenizer: Tokenizer) -> str | None:
        said = dict(reply.holes or {})
        if said.keys() != holes.keys() or text.format(**said) != reply.text:
            return f"the holes {said} do not make up the text"
        bad = [name for name, (_, pattern) in holes.items() if not re.fullmatch(pattern, said[name], re.ASCII)]
        return f"no match in the holes {bad}" if bad else None

    return fault


def _between(
    before: bytes, after: bytes, pattern: str | None, stop: Iterable[str]
) -> Callable[[Reply, Tokenizer], str | None]:
    def fault(reply: Reply, tokenizer: Tokenizer) -> str | None:
        if pattern is not None and not re.fullmatch(pattern, reply.text, re.ASCII):
            return "no match in the hole"
        if found := [text for text in stop if text in reply.text]:
            return f"the hole holds {found}"
        spelled, hole = _spelled(reply, tokenizer), reply.text.encode()
        for start in range(max(0, len(before) - HEALED), len(before) + 1):
            lead = before[start:] + hole
            if len(spelled) >= len(lead) and (lead + after).startswith(spelled):
                return None
        return f"the canvases spell {spelled[:80]!r}"

    return fault


def _spelled(reply: Reply, tokenizer: Tokenizer) -> bytes:
    """Text of the finished canvases up to the first token without text; the reply needs its trace."""
    last = {event.canvas_index: event.token_ids for event in reply.trace.events if isinstance(event, Draft)}
    spelled = b""
    for token in (token for ids in last.values() for token in ids):
        piece = tokenizer.bytes_of(token)
        if piece is None:
            break
        spelled += piece
    return spelled


def _jsonschema() -> Any:
    try:
        import jsonschema
    except ImportError as error:
        raise InvalidRequest("jsonschema is not installed: want it to judge JSON, `pip install jsonschema`") from error
    return jsonschema
