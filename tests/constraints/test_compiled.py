import json
import random
from pathlib import Path

import numpy as np
import pytest

import redraft
from redraft.constraints.compiled import CompileCache, compile_constraint
from redraft.constraints.spec import Choice, Free, Infill, JSONSchema, Regex, Template, Tokens
from redraft.constraints.vocabulary import Vocabulary
from redraft.errors import InvalidRequest
from redraft.text.tokenizer import Tokenizer

FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age"],
}
CONSTRAINTS = (
    Regex(r"([A-Z][a-z]+ ){2,5}end"),
    Regex(r"(foo|bar|naïve)+é"),
    Choice(["yes", "no", "unsure"]),
    JSONSchema(FORM),
    Template("Name: {n}\nAge: {a}.", holes={"n": Free(max_tokens=6), "a": Regex(r"\d{1,3}")}),
)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_directory(Path(redraft.__file__).parent / "models" / "redraft-mini")


@pytest.fixture(scope="module")
def vocabulary(tokenizer):
    return Vocabulary(tokenizer.token_bytes)


@pytest.fixture(scope="module")
def ids(tokenizer):
    return tokenizer.control_tokens


def arrows(tokens, state):
    """{class: target} out of a state."""
    edges = np.flatnonzero(tokens.edge_source == state)
    sets = [(tokens.edge_set[e], tokens.edge_target[e]) for e in edges]
    return {c: target for s, target in sets for c in tokens.set_classes[tokens.set_ptr[s] : tokens.set_ptr[s + 1]]}


def follow(tokens, token_ids):
    """The state after the ids; None where they leave the language."""
    state = tokens.start
    for token in token_ids:
        state = arrows(tokens, state).get(tokens.token_class[token])
        if state is None:
            return None
    return state


def walk(tokens, rng, max_tokens):
    """A random reply within the budget: any token from whose target acceptance is still near enough."""
    state, reply = tokens.start, []
    while len(reply) < max_tokens and not (tokens.accepting[state] and rng.random() < 0.3):
        left = max_tokens - len(reply) - 1
        options = [(c, target) for c, target in arrows(tokens, state).items() if tokens.distance[target] <= left]
        token_class, target = rng.choice([option for option in options if option[1] != tokens.end_state] or [(0, None)])
        if target is None:
            break
        members = tokens.class_tokens[tokens.class_ptr[token_class] : tokens.class_ptr[token_class + 1]]
        reply.append(int(rng.choice(members.tolist())))
        state = target
    assert tokens.accepting[state]
    return reply


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda c: type(c).__name__)
def test_every_reply_within_the_budget_is_in_the_language(constraint, tokenizer, vocabulary, ids):
    compiled = compile_constraint(constraint, vocabulary, [ids["<eos>"], ids["<turn|>"]])
    rng = random.Random(0)
    shortest = int(compiled.automaton.distance[compiled.automaton.start])
    for _ in range(40):
        reply = walk(compiled.automaton, rng, shortest + rng.randint(0, 20))
        assert constraint.matches(tokenizer.decode(reply))


def test_the_tokenizers_own_split_of_a_text_is_accepted(tokenizer, vocabulary, ids):
    constraint = JSONSchema(FORM)
    tokens = compile_constraint(constraint, vocabulary, [ids["<eos>"]]).automaton
    for value in ({"name": "Ann é 😀", "age": 7}, {"name": "", "age": -10, "tags": ["a", "b\n"]}):
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, separators=(",", ":"))):
            assert constraint.matches(text)
            state = follow(tokens, tokenizer.encode(text))
            assert state is not None and tokens.accepting[state]
            assert follow(tokens, [*tokenizer.encode(text), ids["<eos>"], ids["<eos>"]]) == tokens.end_state


def test_a_budget_below_the_shortest_reply_is_refused_with_both_numbers(vocabulary, ids):
    compiled = compile_constraint(Regex("[é]{30}"), vocabulary, [ids["<eos>"]])
    shortest = int(compiled.automaton.distance[compiled.automaton.start])
    compiled.check_budget(shortest)
    with pytest.raises(InvalidRequest, match=f"max_tokens={shortest - 1}: .* {shortest} tokens"):
        compiled.check_budget(shortest - 1)


def test_thinking_comes_before_the_constraint_in_one_automaton(tokenizer, vocabulary, ids):
    stops, opening, closing = [ids["<eos>"]], ids["<|channel>"], ids["<channel|>"]
    think, answer = tokenizer.encode("thought: é\n42?"), tokenizer.encode("yes")
    tokens = compile_constraint(Choice(["yes", "no"]), vocabulary, stops, thinking_close=closing).automaton
    assert tokens.accepting[follow(tokens, [*think, closing, *answer])]
    assert tokens.accepting[follow(tokens, [closing, *answer])]
    assert follow(tokens, [*think, ids["<eos>"]]) is None and follow(tokens, [*answer, closing, *think]) is None
    opened = compile_constraint(
        Choice(["yes"]), vocabulary, stops, thinking_close=closing, thinking_open=opening
    ).automaton
    assert follow(opened, think) is None and opened.accepting[follow(opened, [opening, *think, closing, *answer])]


def test_pins_compile_like_any_constraint(vocabulary, ids):
    compiled = compile_constraint(Tokens({2: [100, 101]}), vocabulary, [ids["<eos>"]])
    assert compiled.automaton.accepting[follow(compiled.automaton, [50, 60, 101])]
    assert follow(compiled.automaton, [50, 60, 102]) is None
    with pytest.raises(InvalidRequest, match="thinking"):
        compile_constraint(Tokens({0: [3]}), vocabulary, [ids["<eos>"]], thinking_close=ids["<channel|>"])


def test_wrong_ids_and_empty_languages_are_refused(vocabulary):
    with pytest.raises(InvalidRequest, match="token id 4096: want an id from 0 to 4095"):
        compile_constraint(Free(), vocabulary, [1], banned=[4096])
    with pytest.raises(InvalidRequest, match="needs a stop id"):
        compile_constraint(Free(), vocabulary, [])
    with pytest.raises(InvalidRequest, match="no JSON text fulfils it"):
        compile_constraint(JSONSchema(False), vocabulary, [1])
    with pytest.raises(AssertionError):
        compile_constraint(Infill("a", "b"), vocabulary, [1])


def test_stats_say_what_was_built(vocabulary):
    compiled = compile_constraint(Choice(["yes", "no"]), vocabulary, [1])
    assert set(compiled.stats) == {"states", "classes", "edges", "compile_seconds"}
    assert compiled.stats["states"] == compiled.automaton.num_states and compiled.stats["compile_seconds"] > 0


def test_the_cache_keeps_the_constraints_used_last(vocabulary):
    cache = CompileCache(vocabulary, capacity=2)
    first = cache.compile(Choice(["a"]), [1])
    assert cache.compile(Choice(["a"]), [1]) is first
    assert cache.compile(Choice(["a"]), [1, 6]) is not first
    assert cache.compile(Choice(["a"]), [1]) is first
    cache.compile(Choice(["b"]), [1], banned=[9])
    assert cache.compile(Choice(["a"]), [1]) is first and cache.compile(Choice(["a"]), [1, 6]) is not first
    assert cache.compile(Choice(["a"]), [1]) is first


@pytest.mark.parametrize(
    "pattern", [r"([A-Z][a-z]+ ){2,5}end", r"(foo|bar|naïve)+é", r"[^\n]{0,20}\n", r"((a|ab)(c|bcd)(d*))+"]
)
def test_another_engine_accepts_what_the_automaton_spells(pattern, tokenizer, vocabulary):
    llguidance = pytest.importorskip("llguidance")
    byte_tokenizer = llguidance.LLTokenizer("byte")
    compiled = compile_constraint(Regex(pattern), vocabulary, [1])
    shortest = int(compiled.automaton.distance[compiled.automaton.start])
    rng = random.Random(1)
    for _ in range(20):
        text = tokenizer.decode(walk(compiled.automaton, rng, shortest + rng.randint(0, 12)))
        matcher = llguidance.LLMatcher(byte_tokenizer, llguidance.LLMatcher.grammar_from_regex(pattern))
        assert matcher.consume_tokens(byte_tokenizer.tokenize_bytes(text.encode())) and matcher.is_accepting(), text
