"""Compiled constraints, random logits, canvases that end in mid-text: every reply is a member of the language."""

import re

import numpy as np
import pytest
import torch

from redraft.constraints.compiled import compile_constraint
from redraft.constraints.inference import ConstrainedRows, place, predict_many
from redraft.constraints.lattice import advance, allowed_tokens, unroll
from redraft.constraints.spec import Choice, JSONSchema, Regex
from redraft.constraints.vocabulary import Vocabulary

WORDS = ["foo", "bar", "end", "na", "ï", "ïv", "ve", "é", '{"', '":', '"}', "true", " end", "-0", "12", "abc", "cd"]
# Every byte, some words, and pieces that cut "ï" (c3 af) and "é" (c3 a9) inside.
PIECES = [bytes([i]) for i in range(256)] + [word.encode() for word in WORDS] + [b"a\xc3", b"\xafv", b"\xa9\xc3", None]
STOP = len(PIECES) - 1
OTHER_STOP = PIECES.index(b"\x00")
VOCABULARY = Vocabulary(PIECES)
PATTERNS = (
    r"\d{4}-\d{2}-\d{2}",
    r"([A-Z][a-z]+ ){2,5}end",
    r"(foo|bar|naïve)+é",
    r"((a|ab)(c|bcd)(d*))+",
    r"[^\n]{0,20}\n",
)


def text_of(token_ids):
    return b"".join(PIECES[token] or b"" for token in token_ids).decode()


def logits_of(kind, rng, length):
    logits = torch.from_numpy(rng.normal(0, 1, (length, len(PIECES)))).float()
    scaled = {"soft": logits, "hard": logits * 40, "bf16": (logits * 8).bfloat16().float(), "flat": logits * 0}
    return scaled[kind]


def decode(automaton, kind, rng, max_tokens, canvas_length, temperature):
    """Two replies, canvas after canvas: the best path's ids and the draw's, each from its own state."""
    replies, states = ([], []), [automaton.start, automaton.start]
    while len(replies[0]) < max_tokens:
        left = max_tokens - len(replies[0])
        logits = logits_of(kind, rng, canvas_length)
        requests = []
        for state in states:
            placed = place(unroll(automaton, state, canvas_length, left, STOP))
            uniforms = torch.from_numpy(rng.random((3, canvas_length))).float()
            requests.append(
                ConstrainedRows(tempered=logits.clone(), placed=placed, uniforms=uniforms, draw_temperature=temperature)
            )
        best, drawn = (step.prediction for step in predict_many(requests))
        for k, ids in enumerate((best.best.tolist(), drawn.sample.tolist())):
            replies[k].extend(ids[:left])
            for token in ids[:left]:
                states[k] = advance(automaton, states[k], token)
    return replies


def cut(token_ids):
    stops = [i for i, token in enumerate(token_ids) if token in (STOP, OTHER_STOP)]
    return token_ids[: stops[0]] if stops else token_ids


@pytest.mark.parametrize("kind", ["soft", "hard", "bf16", "flat"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_replies_over_several_canvases_are_in_the_language(pattern, kind):
    rng = np.random.default_rng(1)
    constraint = Regex(pattern)
    automaton = compile_constraint(constraint, VOCABULARY, (STOP, OTHER_STOP)).automaton
    shortest = int(automaton.distance[automaton.start])
    for canvas_length, slack, temperature in ((4, 0, 1.0), (7, 1, 0.5), (16, 9, 1.0)):
        for reply in decode(automaton, kind, rng, shortest + slack, canvas_length, temperature):
            assert len(reply) == shortest + slack
            assert re.fullmatch(pattern, text_of(cut(reply)))
            assert constraint.matches(text_of(cut(reply)))
            assert set(reply[len(cut(reply)) + 1 :]) <= {STOP}


def test_schemas_and_choices_are_kept_too():
    rng = np.random.default_rng(2)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", None]}}, "required": ["a"]}
    for constraint in (JSONSchema(schema), Choice(["foo", "foobar", "naïve"])):
        automaton = compile_constraint(constraint, VOCABULARY, (STOP,)).automaton
        for seed in range(4):
            for reply in decode(automaton, "soft", rng, 30 + seed, 9, 1.0):
                assert constraint.matches(text_of(cut(reply)))


def test_left_to_right_writing_by_the_mask_ends_within_the_budget():
    rng = np.random.default_rng(3)
    for pattern in PATTERNS:
        automaton = compile_constraint(Regex(pattern), VOCABULARY, (STOP,)).automaton
        for slack in (0, 1, 5):
            left, state, reply = int(automaton.distance[automaton.start]) + slack, automaton.start, []
            assert len(allowed_tokens(automaton, state, left - slack - 1)) == 0
            while left and (not reply or reply[-1] != STOP):
                ids = allowed_tokens(automaton, state, left)
                assert (np.diff(ids) > 0).all()
                reply.append(int(rng.choice(ids)))
                state, left = advance(automaton, state, reply[-1]), left - 1
            assert re.fullmatch(pattern, text_of(cut(reply)))


def test_thousands_of_edges_work():
    automaton = compile_constraint(Regex("[ -~]{0,600}\n"), VOCABULARY, (STOP,)).automaton
    assert len(automaton.edge_source) > 1500
    reply = decode(automaton, "soft", np.random.default_rng(4), 64, 64, 1.0)[1]
    assert re.fullmatch("[ -~]{0,600}\n", text_of(cut(reply)))
