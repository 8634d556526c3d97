"""What JSON Schema's keywords hold: which have subschemas, what values they take, which are refused."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

TYPES = ("null", "boolean", "number", "integer", "string", "array", "object")
_MAPS = ("properties", "patternProperties", "dependentSchemas", "dependencies")
_DEFINITIONS = ("$defs", "definitions")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SINGLE = (
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
)
_REFUSED = ("$dynamicRef", "$recursiveRef")


def escape(key: str) -> str:
    """A key as one part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def subschemas(schema: dict, with_definitions: bool) -> Iterator[tuple[str, Any]]:
    """(pointer from here, subschema) of each keyword that holds some, well-formed ones only."""
    for keyword in _MAPS + (_DEFINITIONS if with_definitions else ()):
        inside = schema.get(keyword)
        if isinstance(inside, dict):
            yield from ((f"/{keyword}/{escape(str(k))}", v) for k, v in inside.items() if not isinstance(v, list))
    for keyword in _LISTS:
        if isinstance(schema.get(keyword), list):
            yield from ((f"/{keyword}/{i}", v) for i, v in enumerate(schema[keyword]))
    yield from ((f"/{keyword}", schema[keyword]) for keyword in _SINGLE if isinstance(schema.get(keyword), dict | bool))


def check_keywords(schema: Any) -> Iterator[tuple[str, str]]:
    """(pointer from here, why) of each keyword that is not supported or whose value is not what it must be.

    Keywords that JSON Schema does not define assert nothing and pass.
    """
    if not isinstance(schema, dict | bool):
        yield "", f"a schema is an object, true or false, not {_short(schema)}"
        return
    for keyword, value in schema.items() if isinstance(schema, dict) else ():
        if not isinstance(keyword, str):
            yield "", f"keys are strings, not {_short(keyword)}"
        elif keyword in _REFUSED:
            yield f"/{keyword}", "is not supported; $ref is"
        elif keyword in _WANTED:
            is_right, wanted = _WANTED[keyword]
            if not is_right(value):
                yield f"/{keyword}", f"is {_short(value)}, must be {wanted}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_type(value: Any) -> bool:
    return value in TYPES if isinstance(value, str) else _is_text_list(value) and set(value) <= set(TYPES)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_schema_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(_is_schema, value))


def _is_dependencies(value: Any) -> bool:
    return _is_map(value) and all(_is_schema(item) or _is_text_list(item) for item in value.values())


_Wanted = tuple[Callable[[Any], bool], str]
_TEXT: _Wanted = (lambda value: isinstance(value, str), "a string")
_COUNT: _Wanted = (_is_count, "a whole number, 0 or more")
_NUMBER: _Wanted = (_is_number, "a number in the range of doubles")
_LIMIT: _Wanted = (
    lambda value: isinstance(value, bool) or _is_number(value),
    "a number in the range of doubles (a boolean in draft 4)",
)
_SCHEMA: _Wanted = (_is_schema, "a schema (an object, true or false)")
_SCHEMA_LIST: _Wanted = (_is_schema_list, "a list of schemas, at least one")
_SCHEMA_MAP: _Wanted = (lambda value: _is_map(value) and all(map(_is_schema, value.values())), "an object of schemas")
_WANTED: dict[str, _Wanted] = {
    "$ref": _TEXT,
    "type": (_is_type, f"one of {', '.join(TYPES)}, or a list of them"),
    "enum": (lambda value: isinstance(value, list), "a list"),
    "multipleOf": (lambda value: _is_number(value) and value > 0, "a number above 0 in the range of doubles"),
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "exclusiveMinimum": _LIMIT,
    "exclusiveMaximum": _LIMIT,
    "minLength": _COUNT,
    "maxLength": _COUNT,
    "pattern": _TEXT,
    "format": _TEXT,
    "items": (lambda value: _is_schema(value) or (isinstance(value, list) and all(map(_is_schema, value))), _SCHEMA[1]),
    "minItems": _COUNT,
    "maxItems": _COUNT,
    "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
    "minContains": _COUNT,
    "maxContains": _COUNT,
    "required": (_is_text_list, "a list of strings"),
    "minProperties": _COUNT,
    "maxProperties": _COUNT,
    "dependentRequired": (
        lambda value: _is_map(value) and all(map(_is_text_list, value.values())),
        "an object of lists of strings",
    ),
    "dependencies": (_is_dependencies, "an object of schemas or lists of strings"),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _SCHEMA_LIST),
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), _SCHEMA_MAP),
    **dict.fromkeys([keyword for keyword in _SINGLE if keyword != "items"], _SCHEMA),
}
