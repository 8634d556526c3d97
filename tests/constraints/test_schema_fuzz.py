"""Random schemas: what the automaton spells is valid to jsonschema, and what it takes of random values, too."""

import json
import random

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from redraft.constraints.automaton import ByteAutomaton, compile_tree
from redraft.constraints.limits import Limits
from redraft.constraints.schema import schema_tree
from redraft.errors import InvalidRequest

KEYS = ("a", "b", "é", '"')
TEXTS = ("", "a", "ab", "1", "2020-02-29", "::1", "x@y.z", "a1\n", "😀")
NUMBERS = (0, 1, -2, 3, 10, 0.5, 2.25, 0.1, 4.35, 1e20)
PATTERNS = ("^a", "b$", r"^\S+$", r"\d", "^.{1,2}$", r"[^\w]", "^[a-z]*$")
TYPES = ("null", "boolean", "number", "integer", "string", "array", "object")
FORMATS = ("date", "time", "duration", "uuid", "email", "ipv4", "ipv6", "hostname", "uri", "uri-reference")
LEAVES = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "const"), NUMBERS),
    "multipleOf": (1, 3, 0.5, 0.01, 0.1),
    "pattern": PATTERNS,
    "format": FORMATS,
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxProperties"), (0, 1, 2)),
}


def value(rng: random.Random, depth: int = 0):
    kind = rng.random()
    if depth < 2 and kind < 0.2:
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    if depth < 2 and kind < 0.5:
        return {key: value(rng, depth + 1) for key in KEYS if rng.random() < 0.5}
    return rng.choice((None, True, rng.choice(NUMBERS), rng.choice(TEXTS)))


def schema(rng: random.Random, depth: int = 0):
    if rng.random() < 0.08:
        return rng.random() < 0.8
    made: dict = {"type": rng.choice(TYPES)} if rng.random() < 0.6 else {}

    def has(share: float) -> bool:
        return rng.random() < share

    def inner():
        return schema(rng, depth + 1) if depth < 2 else {"type": rng.choice(TYPES)}

    made |= {keyword: rng.choice(values) for keyword, values in LEAVES.items() if has(0.12)}
    made |= {k: inner() for k in ("items", "contains", "additionalProperties", "not", "if", "then", "else") if has(0.1)}
    made |= {k: [inner(), inner()] for k in ("allOf", "anyOf", "oneOf", "prefixItems") if has(0.08)}
    made |= {"properties": {key: inner() for key in KEYS if has(0.5)}} if has(0.5) else {}
    made |= {"patternProperties": {rng.choice(PATTERNS): inner()}} if has(0.15) else {}
    made |= {"propertyNames": {"pattern": rng.choice(PATTERNS)}} if has(0.08) else {}
    made |= {"required": [rng.choice(KEYS)]} if has(0.2) else {}
    made |= {"enum": [value(rng) for _ in range(3)]} if has(0.06) else {}
    return made


def spelled(automaton: ByteAutomaton, rng: random.Random) -> bytes:
    """A text of the language: a walk that goes towards acceptance once it is long."""
    rows, text, state = automaton.transitions, bytearray(), automaton.start
    distance = _distances(automaton)
    length = rng.choice((5, 30, 80))
    while not automaton.accepting[state] or (len(text) < length and rng.random() < 0.7):
        following = np.flatnonzero(rows[state] >= 0)
        if len(text) > length:
            steps = distance[rows[state, following]]
            following = following[steps == steps.min()]
        if not len(following):
            break
        target = rng.choice(sorted(set(rows[state, following].tolist())))
        text.append(rng.choice(following[rows[state, following] == target].tolist()))
        state = target
    return bytes(text)


def _distances(automaton: ByteAutomaton) -> np.ndarray:
    distance = np.where(automaton.accepting, 0, 10**6)
    while True:
        after = np.where(automaton.transitions >= 0, distance[automaton.transitions], 10**6)
        shorter = np.minimum(distance, 1 + after.min(axis=1))
        if (shorter == distance).all():
            return distance
        distance = shorter


@pytest.mark.parametrize("seed", range(4))
def test_no_text_that_jsonschema_refuses_is_in_the_language_of_a_random_schema(seed):
    rng = random.Random(seed)
    num_spelled = 0
    while num_spelled < 48:
        made = schema(rng)
        try:
            automaton = compile_tree(schema_tree(made, max_depth=2), Limits(states=2000, seconds=2))
        except InvalidRequest:
            continue
        if automaton.is_empty or automaton.num_states > 1000:
            continue
        judge = Draft202012Validator(made, format_checker=Draft202012Validator.FORMAT_CHECKER)
        for _ in range(6):
            text = spelled(automaton, rng)
            assert automaton.matches(text)
            assert judge.is_valid(json.loads(text)), (made, text)
            num_spelled += 1
        for text in (json.dumps(value(rng)) for _ in range(12)):
            assert judge.is_valid(json.loads(text)) or not automaton.matches(text.encode()), (made, text)
