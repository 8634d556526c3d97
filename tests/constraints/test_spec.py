import json
import random
import re

import pytest

from redraft.constraints.spec import Choice, Free, Infill, JSONSchema, Regex, Template, Tokens
from redraft.errors import InvalidRequest

NAME = Regex("[A-Z][a-z]+")
LETTER = Template("Dear {name},\n{body}\nYours", holes={"name": NAME, "body": Free(max_tokens=120)})


def test_regex_is_fullmatch():
    constraint = Regex(r"\d{4}-\d{2}-\d{2}")
    constraint.check()
    assert constraint.matches("2024-01-31")
    assert not constraint.matches("2024-01-31 ") and not constraint.matches("٢٠٢٤-01-31")


def test_choice_is_one_of_its_options():
    constraint = Choice(["yes", "no", "unsure", "ja é"])
    assert all(map(constraint.matches, constraint.options))
    assert not constraint.matches("yesno") and not constraint.matches("")


def test_json_schema_accepts_both_spacings():
    constraint = JSONSchema({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    assert constraint.matches('{"a": 1}') and constraint.matches('{"a":1}')
    assert not constraint.matches('{"a": "x"}') and not constraint.matches("{}")


def test_template_is_its_text_with_the_holes_filled():
    assert LETTER.matches("Dear Ann,\nhow are\nyou?\nYours")
    assert not LETTER.matches("Dear ann,\nhow?\nYours") and not LETTER.matches("Dear Ann,\nhow?\nYours,")
    assert LETTER.split("Dear Ann,\nhow are\nyou?\nYours") == {"name": "Ann", "body": "how are\nyou?"}


def test_braces_are_doubled():
    template = Template('{{"a": {value}}}', holes={"value": Regex(r"\d+")})
    assert template.matches('{"a": 12}') and template.split('{"a": 12}') == {"value": "12"}
    assert Template("f() {{ return 1; }").matches("f() { return 1; }")
    assert Template("{{{x}}}", holes={"x": Choice(["1"])}).matches("{1}")
    assert Template("plain").matches("plain")


@pytest.mark.parametrize(
    ("text", "holes", "message"),
    [
        ("{a} {b}", {"a": NAME}, r"hole 'b' has no constraint"),
        ("{a}", {"a": NAME, "b": NAME}, r"holes\['b'\]: the template has no such hole, only \['a'\]"),
        ("{a} {a}", {"a": NAME}, "'a' appears twice"),
        ("{a", {"a": NAME}, "position 0"),
        ("x {}", {}, "position 2"),
        ("{1a}", {}, "position 0"),
        ("{a}", {"a": "Regex"}, r"holes\['a'\]='Regex': want Regex"),
        ("{a}", {"a": Infill("", "")}, r"want Regex, Choice"),
        ("{a}", {"a": Tokens({0: [1]})}, r"want Regex, Choice"),
        ("{a}", [NAME], "want a mapping"),
        (3, {}, "want a string"),
    ],
)
def test_a_bad_template_is_refused_by_name(text, holes, message):
    with pytest.raises(InvalidRequest, match=message):
        Template(text, holes=holes)


def test_templates_nest():
    inner = Template("<{x}|{x2}>", holes={"x": Regex("a*"), "x2": Free()})
    outer = Template("({inner})", holes={"inner": inner})
    assert outer.matches("(<aa|)>)") and outer.split("(<aa|)>)") == {"inner": "<aa|)>"}


def test_each_hole_is_as_short_as_the_rest_allows():
    template = Template("{a}-{b}!{c}", holes={"a": Free(), "b": Regex("[^!]+"), "c": Free()})
    assert template.split("x--y!z!") == {"a": "x", "b": "-y", "c": "z!"}
    assert template.split("--y!") == {"a": "", "b": "-y", "c": ""}
    # The first "-" cannot end the hole `a` here: `b` would be empty.
    assert template.split("é-!-ü!") == {"a": "é-!", "b": "ü", "c": ""}
    with pytest.raises(InvalidRequest, match="want a text that matches the template"):
        template.split("x!")


def test_split_agrees_with_lazy_groups_of_re():
    template = Template("{a}ab{b}b{c}", holes={"a": Free(), "b": Regex("[ab]*"), "c": Regex("[^c]*")})
    oracle = re.compile("(?s)(.*?)ab([ab]*?)b([^c]*)")
    rng = random.Random(0)
    for _ in range(300):
        text = "".join(rng.choices("abcé", k=rng.randint(0, 9)))
        match = oracle.fullmatch(text)
        assert template.matches(text) == bool(match)
        if match:
            assert template.split(text) == dict(zip("abc", match.groups(), strict=True))


def test_a_free_hole_never_holds_the_head_of_a_long_literal_after_it():
    tail = "- and this is a longer literal, of more than thirty-two characters."
    template = Template("{x}" + tail, holes={"x": Free(max_tokens=40)})
    assert template.matches("- and this is not it" + tail)
    assert not template.matches(tail + tail)
    assert template.automaton.num_states < 3000


def test_of_several_counting_holes_all_but_the_last_end_at_their_literal():
    holes = {name: Free(max_tokens=200) for name in "abc"}
    template = Template("{a}, {b}; {c}.", holes=holes)
    assert template.split("x; y, z, w; u, v. t; s.") == {"a": "x; y", "b": "z, w", "c": "u, v. t; s"}
    assert template.automaton.num_states < 20_000
    assert Template("{a}, {b}1", holes={"a": Free(), "b": Regex("y+")}).split("x, z, y1") == {"a": "x, z", "b": "y"}


def test_infill_is_the_language_of_its_hole():
    assert Infill("def f():\n", "\n", hole=Regex(" +return .*")).matches("    return 1")
    assert not Infill("a", "b", hole=Choice(["x"])).matches("axb")
    assert Infill("a", "b").matches("") and Infill("a", "b", hole=Free(max_tokens=3)).automaton.num_states < 20
    with pytest.raises(InvalidRequest, match="after=3: want a string"):
        Infill("a", 3)  # type: ignore
    with pytest.raises(InvalidRequest, match="lone surrogates"):
        Infill("\ud800", "")
    with pytest.raises(InvalidRequest, match=r"hole=.*want Regex"):
        Infill("a", "b", hole=Tokens({0: [1]}))  # type: ignore


def test_lone_surrogates_match_nothing():
    assert not Free().matches("\ud800") and not Regex("(?s).*").matches("a\udfff")
    assert Free().matches("any\n\x00 é text 😀") and Free().matches("")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Regex(r"(?=a)").check(), "look-ahead"),
        (lambda: Regex(3).check(), "want a string"),
        (lambda: Regex(r"[^\x00-\U0010ffff]").check(), "Regex: no text fulfils it"),
        (lambda: Choice([]), r"options=\[\]: want a list of at least one string"),
        (lambda: Choice("yes"), "options='yes'"),
        (lambda: Choice(["a", 1]), "at least one string"),
        (lambda: Choice(["a\ud800"]).check(), "lone surrogate"),
        (lambda: JSONSchema({"a": {1, 2}}), "want what JSON can hold"),
        (lambda: JSONSchema({"minimum": float("nan")}), "want what JSON can hold"),
        (lambda: Free(max_tokens=0), r"max_tokens=0: want an integer >= 1"),
        (lambda: Free(max_tokens=True), "max_tokens=True"),
        (lambda: Tokens({}), r"positions=\{\}"),
        (lambda: Tokens({-1: [3]}), "a position=-1: want an integer >= 0"),
        (lambda: Tokens({0: []}), r"positions\[0\]=\[\]"),
        (lambda: Tokens({0: 5}), r"positions\[0\]=5: want a list"),
        (lambda: Tokens({0: [-2]}), r"positions\[0\]: a token id=-2"),
        (lambda: Tokens({0: [1]}).matches("x"), "ids, not texts"),
        (lambda: Regex("a").matches(b"a"), "want a string"),
    ],
)
def test_wrong_input_is_refused_by_name(make, message):
    with pytest.raises(InvalidRequest, match=message):
        make()


def test_constraints_are_values():
    def schema(*names):
        return JSONSchema({"properties": dict.fromkeys(names, True)})

    pairs = [
        (Regex("a"), Regex("a"), Regex("b")),
        (Choice(["a", "b"]), Choice(("a", "b")), Choice(["b", "a"])),
        (schema("x", "y"), schema("x", "y"), schema("y", "x")),
        (
            Template("{a}", {"a": NAME}),
            Template("{a}", holes={"a": Regex("[A-Z][a-z]+")}),
            Template("{a}", {"a": Free()}),
        ),
        (Infill("a", "b"), Infill("a", "b", Free()), Infill("a", "c")),
        (Tokens({1: [2, 3], 0: [1]}), Tokens({0: (1,), 1: {3, 2}}), Tokens({0: [1]})),
        (Free(), Free(None), Free(3)),
    ]
    for first, same, other in pairs:
        assert first == same and hash(first) == hash(same) and first != other


def test_a_schema_is_copied_in():
    schema = {"enum": [1]}
    constraint = JSONSchema(schema)
    schema["enum"].append(2)
    assert constraint.matches("1") and not constraint.matches("2")
    assert json.loads(constraint.source) == {"enum": [1]}


def test_a_hole_warns_as_its_constraint_does():
    schema = JSONSchema({"type": "string", "maxLength": 100_000})
    (warning,) = schema.warnings
    assert "strings end at" in warning
    assert Template("{a} {b}", holes={"a": schema, "b": schema}).warnings == (warning,)
    assert Infill("a", "b", hole=schema).warnings == (warning,)
    assert Infill("a", "b").warnings == Regex("a").warnings == ()


def test_a_template_of_many_pieces_is_read_in_time_that_grows_with_its_length():
    holes = {f"h{i}": Choice(["a"]) for i in range(20_000)}  # compared with each other: 80 s
    Template("".join(f"{{{name}}}" for name in holes) + "{{" * 500_000, holes)
