"""The JSON language: which texts of which instances are members."""

import json

import pytest

from redraft.constraints.automaton import ByteAutomaton, compile_tree
from redraft.constraints.schema import schema_language, schema_tree


def language(schema, max_depth: int = 1) -> ByteAutomaton:
    return compile_tree(schema_tree(schema, max_depth))


def accepted(schema, values, max_depth: int = 1) -> list[bool]:
    automaton = language(schema, max_depth)
    return [automaton.matches(json.dumps(value).encode()) for value in values]


def obj(properties, **keywords):
    return {"type": "object", "properties": properties, **keywords}


TWO = obj({"a": {"type": "integer"}, "b": {"type": "string"}})


def test_declared_keys_come_in_schema_order_present_or_absent():
    assert accepted(TWO, [{}, {"a": 1}, {"b": "x"}, {"a": 1, "b": "x"}]) == [True] * 4
    assert accepted(TWO, [{"b": "x", "a": 1}, {"a": "x"}, {"c": 1}, {"a": 1, "c": 1}]) == [False] * 4


def test_required_keys_are_always_there():
    assert accepted({**TWO, "required": ["b"]}, [{"b": ""}, {"a": 1, "b": ""}, {"a": 1}, {}]) == [
        True,
        True,
        False,
        False,
    ]


def test_required_but_undeclared_keys_hold_anything_after_the_declared_ones():
    schema = {**TWO, "required": ["c"]}
    assert accepted(schema, [{"a": 1, "c": [None]}, {"c": {"x": 1}}, {"c": 1, "a": 1}, {}]) == [
        True,
        True,
        False,
        False,
    ]


def test_undeclared_keys_need_an_explicit_word():
    values = [{"a": 1, "z": 1}, {"a": 1, "z": "s"}]
    assert accepted(TWO, values) == [False, False]
    assert accepted({**TWO, "additionalProperties": True}, values) == [True, True]
    assert accepted({**TWO, "additionalProperties": {"type": "integer"}}, values) == [True, False]
    assert accepted({**TWO, "patternProperties": {"^z": {"type": "string"}}}, values) == [False, True]


def test_an_undeclared_key_is_never_a_declared_one_again():
    automaton = language({**TWO, "additionalProperties": {"type": "string"}})
    assert not automaton.matches(b'{"b": "x", "a": "y"}')
    assert not automaton.matches(rb'{"b": "x", "\u0061": "y"}')
    assert automaton.matches(b'{"b": "x", "aa": "y"}')


def test_a_schema_silent_about_keys_allows_any():
    assert accepted({"type": "object"}, [{}, {"x": 1}]) == [True, True]
    assert accepted(obj({}), [{}, {"x": 1}]) == [True, False]


def test_at_most_one_space_after_comma_and_colon_and_none_elsewhere():
    automaton = language({**TWO, "required": ["a", "b"]})
    assert all(map(automaton.matches, (b'{"a":1,"b":"x"}', b'{"a": 1, "b": "x"}', b'{"a":1, "b": "x"}')))
    spaced = (b'{"a":  1,"b":"x"}', b'{ "a":1,"b":"x"}', b'{"a" :1,"b":"x"}', b'{"a":1 ,"b":"x"}', b' {"a":1,"b":"x"}')
    assert not any(map(automaton.matches, (*spaced, b'{"a":1,"b":"x"}\n', b'{"a":\n1,"b":"x"}')))
    assert not language({"type": "object"}).matches(b"{ }")
    assert not language({"type": "array"}).matches(b"[ ]")


def test_free_form_values_nest_to_the_depth_given():
    values = [1, [], [[]], [[[]]], {"a": {"b": 1}}, {"a": {"b": {}}}, {"a": {"b": {"c": 1}}}]
    assert accepted(True, values, max_depth=2) == [True, True, True, True, True, True, False]
    assert accepted({}, values, max_depth=0) == [True, True, False, False, False, False, False]


def test_recursion_goes_to_the_depth_given():
    schema = obj({"next": {"$ref": "#"}, "v": {"type": "integer"}}, additionalProperties=False)

    def chain(length):
        return {"next": chain(length - 1)} if length else {"v": 1}

    assert accepted(schema, [chain(n) for n in range(5)], max_depth=3) == [True] * 4 + [False]


def test_references_reach_definitions_ids_and_anchors():
    schema = {
        "$id": "http://example.com/root.json",
        "prefixItems": [
            {"$ref": "#/$defs/a~1b"},
            {"$ref": "#here"},
            {"$ref": "item.json"},
            {"$ref": "http://example.com/root.json#/$defs/c%25"},
        ],
        "minItems": 4,
        "$defs": {
            "a/b": {"type": "null"},
            "n": {"$anchor": "here", "type": "integer"},
            "i": {"$id": "item.json", "type": "boolean"},
            "c%": {"const": "c"},
        },
    }
    assert accepted(schema, [[None, 1, True, "c"], [1, 1, True, "c"], [None, 1, 1, "c"]]) == [True, False, False]


def test_keywords_beside_a_reference_count_from_2019_on():
    beside = {"$ref": "#/definitions/s", "maxLength": 1}
    schema = {"properties": {"a": beside}, "definitions": {"s": {"type": "string"}}}
    old = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
    assert accepted(schema, [{"a": "x"}, {"a": "xy"}]) == [True, False]
    assert accepted(old, [{"a": "x"}, {"a": "xy"}]) == [True, True]


def test_listed_values_take_their_spellings():
    automaton = language({"enum": [1, 2.5, "é", None, True, {"k": [1, "x"]}]})
    members = (
        b"1",
        b"1.0",
        b"2.5",
        '"é"'.encode(),
        rb'"\u00e9"',
        b"null",
        b"true",
        b'{"k":[1,"x"]}',
        b'{"k": [1, "x"]}',
    )
    assert all(map(automaton.matches, members))
    assert not any(map(automaton.matches, (b"1.5", b"2", b'"e"', b"false", b'{"k":[1]}', b"{}")))


def test_listed_values_keep_only_what_the_type_allows():
    assert accepted({"type": "integer", "enum": [1, "a", 2.5]}, [1, "a", 2.5]) == [True, False, False]
    assert accepted({"enum": ["ab", "b", "c"], "pattern": "^a|c"}, ["ab", "b", "c"]) == [True, False, True]


def test_integers_have_no_point():
    assert accepted({"type": "integer", "minimum": -1, "exclusiveMaximum": 3}, [-2, -1, 2, 3, 1.0]) == [
        False,
        True,
        True,
        False,
        False,
    ]


def test_exclusive_bounds_of_draft_4_are_booleans():
    schema = {"type": "number", "minimum": 1, "exclusiveMinimum": True}
    assert accepted(schema, [1, 1.5, 2]) == [False, True, True]


def test_string_lengths_count_code_points():
    values = ["", "😀", "é€", "abc"]
    assert accepted({"type": "string", "minLength": 1, "maxLength": 2}, values) == [False, True, True, False]


def test_a_pattern_is_searched_in_the_decoded_string():
    assert accepted({"type": "string", "pattern": '"b'}, ['a"bc', "ab", '"']) == [True, False, False]
    assert accepted({"type": "string", "pattern": "^\\\\$"}, ["\\", "\\\\"]) == [True, False]
    assert accepted({"type": "string", "pattern": "^é+$", "maxLength": 2}, ["é", "éé", "ééé"]) == [True, True, False]


def test_unknown_formats_and_keywords_assert_nothing():
    schema = {"type": "string", "format": "colour", "x-min": 3, "nullable": True, "examples": [1], "default": 5}
    assert accepted(schema, ["red", None]) == [True, False]


def test_arrays_count_their_items():
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}
    assert accepted(schema, [[], [1], [1, 2], [1, 2, 3], ["a"]]) == [False, True, True, False, False]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "items": {"type": "integer"}},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "array",
            "items": [{"type": "null"}, {"type": "boolean"}],
            "additionalItems": {"type": "integer"},
        },
    ],
)
def test_first_items_have_their_own_schemas(schema):
    values = [[], [None], [None, True], [None, True, 1, 2], [True], [None, True, "a"]]
    assert accepted(schema, values) == [True, True, True, True, False, False]
    assert accepted({**schema, "minItems": 2, "maxItems": 3}, values[:4]) == [False, False, True, False]


def test_contains_is_counted():
    schema = {"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 1}, "minContains": 1, "maxContains": 2}
    values = [[], [2], [1], [2, 1, 2], [1, 2, 1], [1, 1, 1]]
    assert accepted(schema, values) == [False, False, True, True, True, False]


def test_unique_items_of_few_values_never_repeat():
    schema = {"type": "array", "items": {"enum": [1, "1", True]}, "uniqueItems": True, "minItems": 2}
    assert accepted(schema, [[1], [1, "1"], [True, 1, "1"], [1, 1], ["1", 1, "1"]]) == [False, True, True, False, False]


def test_keys_are_counted():
    schema = obj({key: {"type": "null"} for key in "abc"}, minProperties=1, maxProperties=2)
    values = [{}, {"a": None}, {"a": None, "c": None}, {"a": None, "b": None, "c": None}]
    assert accepted(schema, values) == [False, True, True, False]
    schema = {"type": "object", "minProperties": 1, "maxProperties": 2}
    assert accepted(schema, [{}, {"x": 1}, {"x": 1, "y": 2}, {"x": 1, "y": 2, "z": 3}]) == [False, True, True, False]


def test_names_of_keys_fulfil_their_schema():
    schema = {"type": "object", "propertyNames": {"pattern": "^[a-z]$"}, "additionalProperties": True}
    assert accepted(schema, [{}, {"a": 1}, {"A": 1}, {"a": 1, "bb": 1}]) == [True, True, False, False]


def test_dependencies_hold():
    wanted = obj({key: {"type": "null"} for key in "abc"}, dependentRequired={"a": ["b"]})
    values = [{}, {"a": None}, {"a": None, "b": None}, {"b": None}]
    assert accepted(wanted, values) == [True, False, True, True]
    legacy = obj({key: {"type": "null"} for key in "abc"}, dependencies={"a": ["b"], "c": {"required": ["a"]}})
    assert accepted(legacy, [*values, {"c": None}, {"a": None, "b": None, "c": None}]) == [
        True,
        False,
        True,
        True,
        False,
        True,
    ]
    assert accepted({"dependentSchemas": {"a": {"maxProperties": 1}}}, [1, "x", {"b": 1}]) == [True, True, True]


def test_all_of_merges_objects():
    schema = {"allOf": [obj({"a": {"type": "integer"}}, required=["a"]), obj({"b": {}, "a": {"minimum": 3}})]}
    assert accepted(schema, [{"a": 3}, {"a": 4, "b": 1}, {"a": 2}, {"b": 1}]) == [True, True, False, False]


def test_closed_parts_of_all_of_close_the_whole():
    schema = {"allOf": [obj({"a": {}}, additionalProperties=False), obj({"b": {}})]}
    assert accepted(schema, [{"a": 1}, {"b": 1}, {"a": 1, "b": 1}]) == [True, False, False]


def test_any_of_is_the_union():
    schema = {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]}
    assert accepted(schema, [1, "a", "ab", 1.5]) == [True, True, False, False]


def test_one_of_leaves_out_what_two_branches_take():
    assert accepted({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]}, [1, 2, 2.5, 1.5]) == [
        True,
        False,
        True,
        False,
    ]
    strings = {"oneOf": [{"pattern": "^a", "type": "string"}, {"pattern": "b$", "type": "string"}]}
    assert accepted(strings, ["a", "b", "ab", "c"]) == [True, True, False, False]
    objects = {"oneOf": [obj({"a": {}, "b": {}}, required=["a"]), obj({"a": {}, "b": {}}, required=["b"])]}
    assert accepted(objects, [{"a": 1}, {"b": 1}, {"a": 1, "b": 1}, {}]) == [True, True, False, False]
    closed = {
        "oneOf": [obj({"a": {}}, additionalProperties=False), obj({"a": {}, "b": {}}, additionalProperties=False)]
    }
    assert accepted(closed, [{"a": 1}, {"b": 1}, {"a": 1, "b": 1}]) == [False, True, True]


def test_one_of_told_apart_by_a_constant_needs_no_subtraction():
    branches = [
        obj({"kind": {"const": k}, "v": {"type": t}}, required=["kind"]) for k, t in (("i", "integer"), ("u", "null"))
    ]
    values = [{"kind": "i", "v": 1}, {"kind": "u", "v": None}, {"kind": "i", "v": None}, {"v": 1}]
    assert accepted({"oneOf": branches}, values) == [True, True, False, False]


def test_not_is_the_complement():
    assert accepted({"not": {"type": ["string", "object"]}}, [1, [], "a", {}]) == [True, True, False, False]
    assert accepted({"type": "string", "not": {"enum": ["a", "b"]}}, ["a", "c"]) == [False, True]
    assert accepted({"type": "number", "not": {"multipleOf": 2}}, [2, 3, 2.5]) == [False, True, True]
    assert accepted({"type": "number", "not": {"const": 1}}, [1, 1.0, 2]) == [False, False, True]
    assert accepted({"type": "number", "not": {"type": "integer"}}, [1, 1.0, 1.5]) == [False, False, True]
    schema = {**TWO, "not": {"required": ["a", "b"]}}
    assert accepted(schema, [{}, {"a": 1}, {"a": 1, "b": "x"}]) == [True, True, False]
    nested = {"type": "array", "items": {"enum": [1, 2]}, "not": {"contains": {"const": 2}}}
    assert accepted(nested, [[], [1, 1], [1, 2]]) == [True, True, False]


def test_if_chooses_between_then_and_else():
    schema = obj(
        {"k": {"enum": ["x", "y"]}, "a": {"type": "null"}},
        required=["k"],
        **{"if": {"properties": {"k": {"const": "x"}}}, "then": {"required": ["a"]}, "else": {"maxProperties": 1}},
    )
    values = [{"k": "x"}, {"k": "x", "a": None}, {"k": "y"}, {"k": "y", "a": None}]
    assert accepted(schema, values) == [False, True, True, False]


def test_unevaluated_keys_and_items_are_those_no_part_speaks_of():
    schema = {"allOf": [obj({"a": {}})], "properties": {"b": {}}, "required": ["c"], "unevaluatedProperties": False}
    assert language(schema).is_empty  # c is required and nowhere evaluated
    schema = {"allOf": [obj({"a": {}})], "unevaluatedProperties": {"type": "integer"}, "type": "object"}
    assert accepted(schema, [{"a": "x"}, {"a": 1, "z": 2}, {"z": "s"}]) == [True, True, False]
    schema = {"type": "array", "prefixItems": [{"type": "null"}], "unevaluatedItems": False}
    assert accepted(schema, [[None], [None, 1]]) == [True, False]


def test_true_false_and_contradictions():
    assert accepted(True, [1, {"a": None}]) == [True, True]
    assert language(False).is_empty
    assert language({"type": "string", "minLength": 2, "maxLength": 1}).is_empty
    assert language({"allOf": [{"type": "string"}, {"type": "null"}]}).is_empty
    assert accepted(obj({"a": False, "b": {}}), [{"b": 1}, {"a": 1}]) == [True, False]


def test_many_optional_keys_take_states_linear_in_their_number():
    sizes = [language(obj({f"key{i:03d}": {"type": "null"} for i in range(n)})).num_states for n in (20, 40, 80)]
    assert sizes[2] - sizes[1] < 2.5 * (sizes[1] - sizes[0])


def test_bounds_too_large_to_count_are_lowered_and_told():
    exact = schema_language({"type": "string", "maxLength": 200})
    assert exact.bounds.length is None
    lowered = schema_language(obj({key: {"type": "string", "maxLength": 5000} for key in "ab"}))
    automaton = compile_tree(lowered.tree)
    length = lowered.bounds.length
    assert (exact.cuts, lowered.cuts) == ((), (f"strings end at {length} characters",))
    assert length is not None
    assert 64 <= length < 5000
    assert automaton.matches(json.dumps({"a": "x" * length}).encode())
    assert not automaton.matches(json.dumps({"a": "x" * (length + 1)}).encode())
