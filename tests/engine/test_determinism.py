"""A reply hangs on its request alone: not on its company, how prompts are fed, remembered prefixes or folding."""

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import redraft
from redraft import SamplingParams
from redraft.config import EngineConfig
from redraft.engine.engine import Engine
from redraft.engine.selftest import batch_invariance

CONFIGS = {
    "one chunk a step": EngineConfig(max_batch=8),
    "folded": EngineConfig(max_batch=6, fold_commits=True),
    "three chunks a step, little memory": EngineConfig(max_batch=5, prefill_chunks=3, cache_memory=1_500_000),
    "folded, two at a time": EngineConfig(max_batch=2, prefill_chunks=2, fold_commits=True),
}
SHARED = "x = [1, 2]\n" * 80  # some 640 tokens: two whole prefill chunks and more


def _engine(directory: Path, config: EngineConfig) -> Engine:
    return Engine(redraft.load_model(str(directory)), directory, name="text", config=config)


def _asked() -> list[tuple[str, SamplingParams]]:
    """Prompts that begin alike or not, by every way of making text there is."""
    rng = random.Random(5)
    prompts = ["a", "def f(x):\n", SHARED, SHARED + "y = 3\n", SHARED[:3300] + "z", "import os\n" * 120]
    kinds = [
        {"max_tokens": 70},  # three canvases
        {"max_tokens": 40, "temperature": 0, "max_denoising_steps": 3},
        {"max_tokens": 45, "constraint": redraft.Regex(r"[a-z]{4,90}(, [a-z]{2,9}){2,8}")},
        {"max_tokens": 40, "constraint": redraft.JSONSchema({"type": "array", "items": {"type": "integer"}})},
        {"max_tokens": 12, "decoding": "autoregressive"},
        {"max_tokens": 33, "canvas_length": 11, "top_p": 0.9},
    ]
    return [
        (prompt, SamplingParams(seed=rng.randrange(2**64), logprobs=0, **kind))
        for prompt in prompts
        for kind in rng.sample(kinds, 3)
    ]


@pytest.fixture(scope="module")
def expected(text_directory) -> list[tuple]:
    """Every reply alone, in an engine that remembers nothing yet."""
    replies = []
    for prompt, params in _asked():
        with _engine(text_directory, EngineConfig()) as engine:
            replies.append(engine.generate(prompt, params))
    return [(reply.token_ids, [item.logprob for item in reply.logprobs]) for reply in replies]


@pytest.fixture(scope="module")
def engines(text_directory):
    engines = {name: _engine(text_directory, config) for name, config in CONFIGS.items()}
    yield engines
    for engine in engines.values():
        engine.close()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_reply_does_not_depend_on_company_feeding_or_memory(engines, expected, data):
    asked = _asked()
    engine = engines[data.draw(st.sampled_from(sorted(CONFIGS)))]
    chosen = data.draw(st.lists(st.integers(0, len(asked) - 1), min_size=1, max_size=5))
    handles = []
    for number in chosen:
        prompt, params = asked[number]
        handles.append(engine._start(engine.intake.prompt_ids(prompt), params))
        time.sleep(data.draw(st.sampled_from([0, 0, 0.004, 0.03])))
    for number, handle in zip(chosen, handles, strict=True):
        reply = handle.reply()
        assert (reply.token_ids, [item.logprob for item in reply.logprobs]) == expected[number]


def test_the_cases_above_meet_remembered_prefixes(engines, expected):
    engine = engines["one chunk a step"]
    prompt, params = _asked()[6]
    engine.generate(prompt, params)
    before = engine.figures.reused_tokens
    assert engine.generate(prompt, params).token_ids == expected[6][0]
    assert engine.figures.reused_tokens - before == 512


def test_the_plain_loop_gives_the_same_tokens_after_a_long_prompt(text_directory, engines):
    engine, model = engines["folded"], redraft.load_model(str(text_directory))
    ids = engine.tokenizer.encode_prompt(SHARED)
    asked = SamplingParams(max_tokens=100, max_denoising_steps=5)
    plain = redraft.generate_plain(model, ids, asked, 11)
    reply = engine.generate(SHARED, SamplingParams(max_tokens=100, max_denoising_steps=5, seed=11, min_tokens=0))
    assert list(reply.token_ids) == plain
    assert reply.usage.forward_passes == reply.usage.denoising_steps, "folded commits are no passes"


def test_the_self_test_holds_on_this_machine(engines):
    assert batch_invariance(engines["one chunk a step"]).holds


def test_the_self_test_notices_a_reply_that_depends_on_its_company(text_directory):
    with _engine(text_directory, EngineConfig()) as engine:
        hidden = engine.model.hidden
        engine.model.hidden = lambda batch, routings=None: hidden(batch, routings) * (1 + 0.01 * len(batch.segments))
        assert not batch_invariance(engine).holds
