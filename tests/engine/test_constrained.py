"""Constraints at work in the engine: every reply valid, on random weights, whatever the way it is asked for."""

import json
import random
import re

import jsonschema
import pytest

import redraft
from redraft import Choice, Commit, Draft, Free, Infill, JSONSchema, Regex, SamplingParams, Template, Tokens

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
PATTERNS = (
    r"\d{4}-\d{2}-\d{2}",
    r"([A-Z][a-z]+ ){2,5}end",
    r"(foo|bar|naïve)+é",
    r"[^\n]{0,90}\n",
    r"((a|ab)(c|bcd)(d*))+",
)
LETTER = Template("Dear {name},\n{body}\nYours", holes={"name": Regex("[A-Z][a-z]+"), "body": Free(max_tokens=20)})


def params(**values) -> SamplingParams:
    return SamplingParams(**{"max_tokens": 60, "max_denoising_steps": 3, "seed": 1, **values})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_reply_on_random_weights_is_valid(text_directory, dtype):
    with redraft.load(str(text_directory), device="cpu", dtype=dtype) as engine:
        asked = [(Regex(pattern), seed) for pattern in PATTERNS for seed in range(4)]
        asked += [(JSONSchema(PERSON), seed) for seed in range(8)] + [(LETTER, seed) for seed in range(4)]
        rng = random.Random(0)
        items = [
            params(constraint=c, seed=s, max_tokens=rng.randint(31, 100), temperature=rng.choice([0.0, 0.7, 1.0]))
            for c, s in asked
        ]
        for (constraint, _), reply in zip(asked, engine.generate(["x = 1"] * len(items), items), strict=True):
            assert reply.finish_reason == "stop"
            assert constraint.matches(reply.text)
            if isinstance(constraint, Regex):
                assert re.fullmatch(constraint.pattern, reply.text, re.ASCII)
            if isinstance(constraint, JSONSchema):
                jsonschema.validate(json.loads(reply.text), PERSON)


def test_the_shortest_budget_is_enough_and_one_token_less_is_refused(text_engine):
    schema = JSONSchema(PERSON)
    shortest = next(n for n in range(1, 60) if not refuses(text_engine, schema, n))
    reply = text_engine.solve(schema, params=params(max_tokens=shortest))
    jsonschema.validate(json.loads(reply.text), PERSON)
    assert reply.usage.completion_tokens <= shortest
    with pytest.raises(redraft.InvalidRequest, match=f"takes {shortest} tokens"):
        text_engine.solve(schema, params=params(max_tokens=shortest - 1))


def refuses(engine, constraint, max_tokens: int) -> bool:
    try:
        engine.intake.request([2], params(constraint=constraint, max_tokens=max_tokens))
    except redraft.InvalidRequest:
        return True
    return False


def test_a_reply_may_take_several_canvases(text_engine):
    reply = text_engine.solve(Regex(r"(\d{3} ){30}"), params=params(max_tokens=120))
    assert re.fullmatch(r"(\d{3} ){30}", reply.text)
    assert reply.usage.canvases > 1


def test_company_changes_nothing_under_a_constraint(text_engine):
    items = [
        params(constraint=JSONSchema(PERSON), seed=1),
        params(seed=2, max_denoising_steps=5),
        params(constraint=Regex("[a-z ]{5,80}é"), seed=3, max_denoising_steps=4),
        params(constraint=LETTER, seed=4),
        SamplingParams(decoding="autoregressive", constraint=JSONSchema(PERSON), max_tokens=40, seed=5),
    ]
    alone = [text_engine.generate("x", item).token_ids for item in items]
    for order in ([4, 2, 0, 1, 3], [0, 1, 2], [3, 4]):
        together = text_engine.generate(["x"] * len(order), [items[i] for i in order])
        assert [reply.token_ids for reply in together] == [alone[i] for i in order]


def test_left_to_right_decoding_keeps_to_a_constraint(text_engine):
    for seed in range(4):
        asked = SamplingParams(decoding="autoregressive", constraint=JSONSchema(PERSON), max_tokens=40, seed=seed)
        reply = text_engine.generate("x", asked)
        jsonschema.validate(json.loads(reply.text), PERSON)
        assert reply.finish_reason == "stop"


def test_template_gives_the_text_of_each_hole(text_engine):
    reply = text_engine.solve(LETTER, params=params(max_tokens=100))
    assert reply.text == f"Dear {reply.holes['name']},\n{reply.holes['body']}\nYours"
    assert re.fullmatch("[A-Z][a-z]+", reply.holes["name"])


def test_price_and_size_of_the_constraint_are_reported(text_engine):
    reply = text_engine.solve(Choice(["yes", "no"]), params=params())
    assert len(reply.constraint["log_z"]) == reply.usage.denoising_steps
    assert all(price <= 1e-6 for price in reply.constraint["log_z"])
    assert {"states", "classes", "edges", "compile_seconds"} <= reply.constraint.keys()


def test_a_fully_forced_reply_takes_one_step(text_engine):
    reply = text_engine.solve(Choice(["7"]), params=params(max_denoising_steps=9))
    assert (reply.text, reply.usage.denoising_steps, reply.usage.converged) == ("7", 1, (True,))


def test_stream_under_a_constraint_says_the_text_of_the_reply(text_engine):
    events = list(text_engine.stream("x", params(constraint=LETTER, max_tokens=100)))
    reply = events[-1].reply
    assert "".join(event.text for event in events if isinstance(event, Commit)) == reply.text
    assert LETTER.matches(reply.text)


def test_thinking_comes_before_a_constrained_answer(text_engine):
    messages = [{"role": "user", "content": "who?"}]
    reply = text_engine.chat(messages, params(constraint=JSONSchema(PERSON), max_tokens=90), thinking=True)
    jsonschema.validate(json.loads(reply.text), PERSON)
    assert reply.reasoning is not None


def test_pinned_tokens_hold_their_positions(engine):
    pins = {0: [5], 3: [6, 7], 9: [8]}
    reply = engine.solve(
        Tokens(pins), prompt="53..7", params=SamplingParams(max_tokens=12, max_denoising_steps=4, seed=1)
    )
    assert all(reply.token_ids[position] in ids for position, ids in pins.items())


@pytest.mark.parametrize("max_tokens", [1, 4, 20, 50])
def test_infill_fits_its_budget_and_its_stop_strings(text_engine, max_tokens):
    asked = params(max_tokens=max_tokens, stop=["\n", "q"])
    reply = text_engine.fill("def mean(xs):\n    return ", "\n\nprint(mean([1]))\n", asked)
    assert len(reply.token_ids) <= max_tokens
    assert not set("\nq") & set(reply.text)
    assert reply.finish_reason == "stop"


def test_infill_hole_keeps_to_its_own_constraint(text_engine):
    for seed in range(4):
        reply = text_engine.solve(Infill("x = ", "\ny = 2\n", hole=Regex(r"\d{3,9}")), params=params(seed=seed))
        assert re.fullmatch(r"\d{3,9}", reply.text)


def test_a_template_in_a_hole_counts_its_tokens_keeps_from_stop_strings_and_tells_its_holes(text_engine):
    hole = Template("<{x}|{y}>", holes={"x": Free(2), "y": Free(2)})
    for seed in range(4):
        reply = text_engine.solve(Infill("x = ", "\ny\n", hole=hole), params=params(seed=seed, stop=["\n", "e"]))
        assert reply.text == f"<{reply.holes['x']}|{reply.holes['y']}>"
        assert not set("\ne") & set(reply.text)


def test_infill_with_either_side_empty(text_engine):
    assert text_engine.fill("", "tail\n", params(max_tokens=8)).finish_reason == "stop"
    assert text_engine.fill("head ", "", params(max_tokens=8)).finish_reason == "stop"


def test_an_infill_ends_when_its_hole_is_settled_whatever_is_unsure_of_the_text_after_it():
    engine = redraft.load("redraft-mini")
    before, after = "class Dog:\n    def __init__(self, name):\n        ", ".name = name\n\n\nrex = Dog('Rex')\n"
    hole = Infill(before, after, hole=Choice(["self", "name", "Dog", "rex"]))
    reply = engine.solve(hole, params=SamplingParams(seed=0, record_trace=True))
    assert reply.text == "self" and reply.usage.converged == (True,)
    assert reply.usage.denoising_steps < 16
    last = [event for event in reply.trace.events if isinstance(event, Draft)][-1]
    assert last.mean_entropy > 0.1, "over the whole canvas, the suffix included"


def test_edit_of_strength_0_keeps_the_text_without_a_pass(text_engine):
    reply = text_engine.edit("hello world", "louder", params(max_tokens=None), strength=0)
    assert (reply.text, reply.usage.forward_passes) == ("hello world", 0)


def test_edit_of_strength_1_is_a_fresh_canvas(text_engine):
    asked = params(max_tokens=32)
    reply = text_engine.edit("hello world", "louder", asked, strength=1)
    messages = [{"role": "user", "content": "louder\n\nhello world"}]
    assert reply.token_ids == text_engine.chat(messages, asked).token_ids


def test_edit_refuses_a_text_longer_than_a_canvas(text_engine):
    with pytest.raises(redraft.InvalidRequest, match="one canvas"):
        text_engine.edit("word " * 200, "shorter", params(max_tokens=None))


def test_decisions_share_out_the_labels(text_engine):
    questions = {
        "a": {"type": "predicate", "instructions": "Is it?"},
        "b": {"type": "choice", "instructions": "Which?", "criteria": {"red": None, "green": "go"}},
        "c": {"type": "score", "instructions": "How much?", "criteria": ["low", "mid", "high"]},
    }
    decisions = text_engine.decide({"x": 1}, questions, reads=2)
    assert decisions == text_engine.decide({"x": 1}, questions, reads=2)
    assert list(decisions) == ["a", "b", "c"]
    for decision in decisions.values():
        assert abs(sum(decision.probabilities.values()) - 1) < 1e-6
        assert decision.label == max(decision.probabilities, key=decision.probabilities.get)
        assert 0 <= decision.confidence <= 1
        assert 0 <= decision.mass <= 1
        assert decision.reads == 2


@pytest.mark.parametrize(
    ("constraint", "asked", "word"),
    [
        (Regex("[0-9]{50}"), {"max_tokens": 10}, "50 tokens"),
        (Regex(r"a[^\x00-\U0010ffff]"), {}, "no text"),
        (JSONSchema({"type": 7}), {}, "type"),
        ("text", {}, "constraint"),
    ],
)
def test_what_cannot_be_fulfilled_is_refused_before_anything_runs(text_engine, constraint, asked, word):
    with pytest.raises(redraft.InvalidRequest, match=word):
        text_engine.generate("x", params(constraint=constraint, **asked))


@pytest.mark.parametrize(
    "field", [{"stop": ["x"]}, {"ignore_eos": True}, {"top_k": 3}, {"top_p": 0.5}, {"min_tokens": 2}]
)
def test_options_that_fight_a_constraint_are_refused_by_name(field):
    with pytest.raises(redraft.InvalidRequest, match=next(iter(field))):
        params(constraint=Regex("a+"), **field)


@pytest.mark.parametrize("field", [{"ignore_eos": True}, {"top_k": 3}, {"top_p": 0.5}, {"min_tokens": 2}])
def test_options_that_do_nothing_in_an_infill_are_refused_by_name(text_engine, field):
    with pytest.raises(redraft.InvalidRequest, match=f"{next(iter(field))}=.* cannot be used with an infill"):
        text_engine.fill("a", "b", params(**field))


def test_a_state_that_json_cannot_hold_is_refused(text_engine):
    with pytest.raises(redraft.InvalidRequest, match=r"state=.*JSON"):
        text_engine.decide({1, 2}, {"a": {"type": "predicate", "instructions": "Is it?"}})


def test_an_infill_is_refused_where_it_has_no_prompt_of_its_own(text_engine):
    with pytest.raises(redraft.InvalidRequest, match="Infill"):
        text_engine.generate("x", params(constraint=Infill("a", "b")))
    with pytest.raises(redraft.InvalidRequest, match="prompt"):
        text_engine.solve(Infill("a", "b"), prompt="x")
