"""Schemas that are refused: by JSON pointer and keyword, and before they cost much."""

import time

import pytest

from redraft.constraints.automaton import compile_tree
from redraft.constraints.limits import Limits
from redraft.constraints.schema import schema_tree
from redraft.errors import InvalidRequest

SMALL = Limits(states=2_000, seconds=10)


def refusal(schema, **options) -> str:
    with pytest.raises(InvalidRequest) as caught:
        schema_tree(schema, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("schema", "pointer", "word"),
    [
        ({"type": 7}, "#/type:", "7"),
        ({"properties": {"a/b": {"type": "text"}}}, "#/properties/a~1b/type:", "'text'"),
        ({"type": ["string", "any"]}, "#/type:", "any"),
        ({"properties": []}, "#/properties:", "object"),
        ({"properties": {"a": 1}}, "#/properties:", "object of schemas"),
        ({"items": {"required": "a"}}, "#/items/required:", "list of strings"),
        ({"properties": {"a": {"required": True}}}, "#/properties/a/required:", "list of strings"),
        ({"minLength": -1}, "#/minLength:", "0 or more"),
        ({"minItems": 1.5}, "#/minItems:", "whole number"),
        ({"multipleOf": 0}, "#/multipleOf:", "above 0"),
        ({"maximum": "5"}, "#/maximum:", "number"),
        ({"minimum": 10**400}, "#/minimum:", "range of doubles"),
        ({"pattern": "(?i)a"}, "#/pattern:", "flag"),
        ({"allOf": []}, "#/allOf:", "at least one"),
        ({"anyOf": {"type": "string"}}, "#/anyOf:", "list of schemas"),
        ({"enum": "a"}, "#/enum:", "list"),
        ({"pattern": "(a"}, "#/pattern:", "(a"),
        ({"pattern": "(?=a)b"}, "#/pattern:", "look-ahead"),
        ({"patternProperties": {"a(": {}}}, "#/patternProperties/a(:", "a("),
        ({"not": {"not": {"type": None}}}, "#/not/not/type:", "None"),
        ({"items": "x"}, "#/items:", "schema"),
        ({"$ref": "#/nowhere"}, "#/nowhere:", "$ref"),
        ({"$ref": "other.json"}, "#/$ref:", "other.json"),
        ({"$ref": "#anchor"}, "#/$ref:", "anchor"),
        ({"items": {"$dynamicRef": "#x"}}, "#/items/$dynamicRef:", "not supported"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "#/$schema:", "draft-03"),
        ({"items": {"$ref": "#/items"}}, "#/items:", "refers to itself"),
        ({"type": "array", "uniqueItems": True}, "#/uniqueItems:", "no two are equal"),
        ({"type": "array", "uniqueItems": True, "items": {"enum": list(range(20))}}, "#/uniqueItems:", "20"),
        ({"type": "object", "minProperties": 2}, "#/minProperties:", "repeat"),
        ({"not": {"format": "email"}}, "#/not/format:", "annotations"),
        ({"oneOf": [{"const": "now"}, {"type": "string", "format": "date"}]}, "#/oneOf/1/format:", "annotations"),
        (
            {"type": "object", "properties": {"٣": {}}, "patternProperties": {r"^\d$": {"type": "null"}}},
            "#:",
            "depends on who reads it",
        ),
        ({"not": {"unevaluatedProperties": False}}, "#/not/unevaluatedProperties:", "not supported"),
        ({"multipleOf": 8640007}, "#/multipleOf:", "states"),
        (
            {"type": "object", "patternProperties": {f"^{c}": {} for c in "abcde"}},
            "#/patternProperties:",
            "5 together",
        ),
        ({"enum": ["\ud800"]}, "#:", "surrogate"),
        ({"const": float("inf")}, "#:", "JSON"),
        ({"const": {1, 2}}, "#:", "JSON"),
        ("string", "#:", "object, true or false"),
        (None, "#:", "object, true or false"),
    ],
)
def test_a_refusal_names_pointer_and_reason(schema, pointer, word):
    message = refusal(schema)
    assert f"JSONSchema {pointer}" in message
    assert word in message


@pytest.mark.parametrize("depth", [-1, 1.5, True, "4"])
def test_max_depth_is_a_count(depth):
    assert "max_depth" in refusal(True, max_depth=depth)


def test_unused_definitions_may_be_anything():
    schema_tree({"type": "null", "definitions": {"a": {"type": 7}, "b": 3}, "$defs": {"c": {"items": "x"}}})


def nested(levels: int, keyword: str) -> dict:
    schema: dict = {"type": "null"}
    for _ in range(levels):
        schema = {keyword: [schema] if keyword == "allOf" else schema}
    return schema


def branching(levels: int, keyword: str) -> dict:
    return {
        "allOf": [{keyword: [{"minLength": i}, {"maxLength": 90 - i}, {"pattern": f"a{i}"}]} for i in range(levels)]
    }


def mutual(size: int) -> dict:
    """Every definition refers to every other, through properties."""
    everyone = {f"p{i}": {"$ref": f"#/$defs/d{i}"} for i in range(size)}
    return {"$ref": "#/$defs/d0", "$defs": {f"d{i}": {"properties": everyone} for i in range(size)}}


HOSTILE = {
    "nested items": nested(5000, "items"),
    "nested allOf": nested(60, "allOf"),
    "nested not": nested(60, "not"),
    "exponential anyOf": branching(20, "anyOf"),
    "exponential oneOf": branching(12, "oneOf"),
    "mutual recursion": mutual(12),
    "huge enum": {"enum": [f"value {i} of many" for i in range(10_000)]},
    "huge number enum under not": {"not": {"enum": list(range(2_000))}},
    "many keys": {"properties": {f"key {i}": {"type": "string"} for i in range(3_000)}},
    "counted keys": {"properties": {f"key {i}": {} for i in range(3_000)}, "minProperties": 1_000},
    "long string": {"type": "string", "minLength": 10**9},
    "long array": {"type": "array", "items": {"type": "array", "minItems": 10**6}, "minItems": 10**6},
    "nested counts": {"pattern": "^((a{1,500}){1,500}){1,500}$"},
    "chain of references": {
        "$ref": "#/$defs/d0",
        "$defs": {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(3_000)} | {"d3000": True},
    },
    "doubling by shared definitions": {
        "$ref": "#/$defs/d0",
        "$defs": {
            f"d{i}": {"properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}, "b": {"$ref": f"#/$defs/d{i + 1}"}}}
            for i in range(40)
        }
        | {"d40": True},
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_ends_soon_compiled_or_refused(name):
    start = time.process_time()
    try:
        compile_tree(schema_tree(HOSTILE[name]), SMALL)
    except InvalidRequest as error:
        assert str(error)
    assert time.process_time() - start < 10
