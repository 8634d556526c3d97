"""The engine as callers see it, on a tiny random model."""

import asyncio
import dataclasses
import inspect
import random
import re
import threading

import pytest
import torch

import redraft
from redraft import Commit, Draft, Finish, Regex, SamplingParams
from redraft.config import EngineConfig
from redraft.diffusion.trace import Trace
from redraft.engine.families import BlockDiffusion

PROMPT = "53..7....6..195"
NAN = float("nan")


def params(**values) -> SamplingParams:
    return SamplingParams(**{"max_tokens": 20, "max_denoising_steps": 4, "seed": 1, **values})


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("restart_after", [None, 2])
def test_tokens_equal_the_plain_loop_of_the_same_seed(engine, tiny_directory, seed, temperature, restart_after):
    model = redraft.load_model(str(tiny_directory))
    asked = {
        "max_tokens": 30,
        "max_denoising_steps": 6,
        "temperature": temperature,
        "restart_after": restart_after,
    }
    plain = redraft.generate_plain(model, engine.tokenizer.encode_prompt(PROMPT), SamplingParams(**asked), seed)
    reply = engine.generate(PROMPT, SamplingParams(**asked, seed=seed, min_tokens=0))
    assert list(reply.token_ids) == plain


def test_drafts_show_a_canvas_that_starts_anew(engine):
    reply = engine.generate(
        PROMPT,
        params(max_denoising_steps=6, restart_after=3, confidence_threshold=0.0, max_tokens=9, record_trace=True),
    )
    drafts = [event for event in reply.trace.events if isinstance(event, Draft)]
    assert [draft.denoising_step for draft in drafts] == list(range(6))
    assert [not draft.accepted for draft in drafts] == [False, False, True, False, False, False]
    assert [round(draft.temperature, 3) for draft in drafts] == [0.8, 0.667, 0.533] * 2
    assert len(drafts[3].changed) == engine.model.canvas_length, "nothing came before"


def test_a_constrained_canvas_starts_anew_within_its_constraint(engine):
    for seed in range(4):
        reply = engine.generate(PROMPT, params(seed=seed, restart_after=1, constraint=Regex("[1-9]{9}")))
        assert re.fullmatch("[1-9]{9}", reply.text)


def test_a_reply_does_not_depend_on_its_company(engine):
    rng = random.Random(0)
    prompts = [[rng.randrange(16) for _ in range(rng.randint(1, 40))] for _ in range(10)]
    asked = [params(max_tokens=5 + 4 * i, seed=i, max_denoising_steps=2 + i) for i in range(10)]
    alone = [engine.generate(prompt, item).token_ids for prompt, item in zip(prompts, asked, strict=True)]
    for trial in range(4):
        order = random.Random(trial).sample(range(10), 3 + 2 * trial)
        together = engine.generate([prompts[i] for i in order], [asked[i] for i in order])
        assert [reply.token_ids for reply in together] == [alone[i] for i in order]


def test_a_long_prompt_is_cut_at_fixed_positions_in_company_too(engine):
    prompt = [3 + i % 11 for i in range(600)]
    alone = engine.generate(prompt, params())
    together = engine.generate([prompt, PROMPT, prompt[:300]], params())
    assert together[0].token_ids == alone.token_ids


def test_committed_text_of_a_stream_is_the_text_of_the_reply(engine):
    events = list(engine.stream(PROMPT, params(ignore_eos=True)))
    reply = events[-1].reply
    assert [type(event) for event in events].count(Finish) == 1
    assert "".join(event.text for event in events if isinstance(event, Commit)) == reply.text
    drafts = [event for event in events if isinstance(event, Draft)]
    assert len(drafts) == reply.usage.denoising_steps
    assert reply == dataclasses.replace(engine.generate(PROMPT, params(ignore_eos=True)), usage=reply.usage)


def test_usage_counts_what_ran(engine):
    usage = engine.generate(PROMPT, params(ignore_eos=True, stability_threshold=9)).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.canvases) == (17, 20, 3)
    assert (usage.denoising_steps, usage.forward_passes) == (12, 14)  # three canvases of four steps, two commits
    assert usage.converged == (False, False, False)
    assert usage.tokens_per_forward == 20 / 14


def test_max_tokens_trims_exactly(engine):
    for max_tokens in (1, 7, 8, 9):
        reply = engine.generate(PROMPT, params(max_tokens=max_tokens, ignore_eos=True))
        assert len(reply.token_ids) == max_tokens
        assert reply.finish_reason == "length"


def test_stop_string_across_canvases_is_cut_from_the_text(engine):
    whole = engine.generate(PROMPT, params(ignore_eos=True, max_tokens=24))
    text = whole.text
    at = next(i for i in range(2, len(text) - 3) if text.find(text[i : i + 3]) == i)
    reply = engine.generate(PROMPT, params(ignore_eos=True, max_tokens=24, stop=[text[at : at + 3], "never"]))
    assert reply.text == text[:at]
    assert reply.finish_reason == "stop"
    assert engine.tokenizer.decode(reply.token_ids) == text[: at + 3]


def test_stop_id_ends_the_reply_and_never_shows(engine):
    whole = engine.generate(PROMPT, params(ignore_eos=True, max_tokens=24))
    token = whole.token_ids[9]
    reply = engine.generate(PROMPT, params(ignore_eos=True, max_tokens=24, stop_token_ids=[token], min_tokens=0))
    assert reply.finish_reason == "stop"
    assert reply.token_ids[-1] == token
    assert token not in reply.token_ids[:-1]
    assert reply.text == engine.tokenizer.decode(reply.token_ids[:-1])


def test_min_tokens_keeps_stop_ids_away(engine):
    ids = list(range(4, 14))
    reply = engine.generate(PROMPT, params(stop_token_ids=ids, min_tokens=6))
    assert not set(reply.token_ids[:6]) & {1, *ids}


def test_logprobs_are_aligned_with_the_tokens(engine):
    reply = engine.generate(PROMPT, params(logprobs=3, prompt_logprobs=2, ignore_eos=True))
    assert [item.token_id for item in reply.logprobs] == list(reply.token_ids)
    for item in reply.logprobs:
        assert item.top[0][0] == item.token_id
        assert abs(item.top[0][1] - item.logprob) < 1e-5
    ids = engine.tokenizer.encode_prompt(PROMPT)
    assert reply.prompt_logprobs[0] is None
    assert [item.token_id for item in reply.prompt_logprobs[1:]] == ids[1:]


def test_prompt_logprobs_are_those_of_the_causal_encoder(engine, tiny_directory):
    model = redraft.load_model(str(tiny_directory))
    ids = engine.tokenizer.encode_prompt(PROMPT)
    logits = model.encode(torch.tensor([ids]), model.new_cache())[0]
    want = torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), ids[1:]]
    got = [item.logprob for item in engine.generate(PROMPT, params(prompt_logprobs=0)).prompt_logprobs[1:]]
    assert torch.allclose(torch.tensor(got), want, atol=1e-5)


def test_left_to_right_decoding_at_temperature_0_is_the_argmax_of_the_encoder(engine, tiny_directory):
    model = redraft.load_model(str(tiny_directory))
    reply = engine.generate(
        PROMPT, SamplingParams(decoding="autoregressive", temperature=0, max_tokens=12, min_tokens=0)
    )
    ids = engine.tokenizer.encode_prompt(PROMPT)
    for token in reply.token_ids:
        logits = model.encode(torch.tensor([ids]), model.new_cache())[0, -1]
        assert token == int(logits.argmax())
        ids.append(token)
    assert reply.usage.canvases == 0


def test_left_to_right_and_diffusion_share_a_batch(engine):
    left = SamplingParams(decoding="autoregressive", seed=3, max_tokens=12)
    alone = [engine.generate(PROMPT, left), engine.generate(PROMPT, params())]
    together = engine.generate([PROMPT, PROMPT], [left, params()])
    assert [reply.token_ids for reply in together] == [reply.token_ids for reply in alone]


def test_a_seed_is_drawn_and_repeats_the_reply(engine):
    first = engine.generate(PROMPT, SamplingParams(max_denoising_steps=4))
    again = engine.generate(PROMPT, SamplingParams(max_denoising_steps=4, seed=first.seed))
    assert again.token_ids == first.token_ids
    assert engine.generate(PROMPT, SamplingParams(max_denoising_steps=2, temperature=0)).seed == 0


def test_trace_of_a_run_reads_back(engine):
    reply = engine.generate(PROMPT, params(record_trace=True))
    trace = Trace.from_json(reply.trace.to_json())
    assert trace == reply.trace
    assert trace.seed == reply.seed
    assert sum(isinstance(event, Draft) for event in trace.events) == reply.usage.denoising_steps


def test_async_twins_give_the_same_replies(engine):
    want = [reply.token_ids for reply in engine.generate([PROMPT] * 3, [params(seed=s) for s in range(3)])]

    async def run():
        replies = await asyncio.gather(*(engine.agenerate(PROMPT, params(seed=s)) for s in range(3)))
        events = [event async for event in engine.astream(PROMPT, params(seed=0))]
        return [reply.token_ids for reply in replies], events[-1].reply.token_ids

    assert asyncio.run(run()) == (want, want[0])


def test_several_threads_share_one_engine(engine):
    want = {seed: engine.generate(PROMPT, params(seed=seed)).token_ids for seed in range(6)}
    got: dict[int, tuple[int, ...]] = {}
    threads = [
        threading.Thread(target=lambda s=seed: got.__setitem__(s, engine.generate(PROMPT, params(seed=s)).token_ids))
        for seed in want
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == want


@pytest.mark.parametrize(
    ("prompt", "asked", "word"),
    [
        ([], {}, "no tokens"),
        ([[]], {}, "no tokens"),
        ([[1, 10**6]], {}, "1000000"),
        ([1, -3], {}, "-3"),
        ("abc", {}, "'a'"),
        (3, {}, "prompt=3"),
        ([1] * 1020, {}, "1024"),
        (PROMPT, {"max_tokens": 2000}, "1024"),
        (PROMPT, {"canvas_length": 9}, "canvas_length"),
        (PROMPT, {"min_tokens": 30}, "min_tokens"),
        (PROMPT, {"logprobs": 17}, "logprobs"),
        (PROMPT, {"logit_bias": {99: 1.0}}, "99"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(engine, prompt, asked, word):
    with pytest.raises(redraft.InvalidRequest, match=word):
        engine.generate(prompt, params(**asked))


def test_messages_are_refused_without_a_chat_template(engine):
    with pytest.raises(redraft.InvalidRequest, match="chat template"):
        engine.chat([{"role": "user", "content": "hi"}])


def test_lists_of_different_lengths_are_refused(engine):
    with pytest.raises(redraft.InvalidRequest, match="3 prompts"):
        engine.generate([PROMPT] * 3, [params()] * 2)


def test_deadline_ends_the_request(engine):
    with pytest.raises(redraft.DeadlineExceeded, match=r"0\.001"):
        engine.generate(PROMPT, params(deadline=0.001, max_tokens=900, ignore_eos=True, stability_threshold=9))


def test_leaving_a_stream_stops_the_request(engine):
    for _ in engine.stream(PROMPT, params(max_tokens=900, ignore_eos=True, stability_threshold=9)):
        break
    assert engine.generate(PROMPT, params()).text is not None
    assert engine._hub._running == []


def test_not_a_number_fails_its_own_request_alone(tiny_directory):
    with redraft.load(str(tiny_directory)) as engine:
        healthy = engine.generate(PROMPT, params())
        head = engine.model.head
        engine.model.head = lambda hidden: head(hidden) * (NAN if len(hidden) == 5 else 1)
        doomed = engine._start(engine.intake.prompt_ids(PROMPT), params(canvas_length=5))
        assert engine.generate(PROMPT, params()).token_ids == healthy.token_ids
        with pytest.raises(redraft.ModelFailure):
            doomed.reply()


def test_cache_memory_refuses_what_can_never_fit_and_queues_the_rest(tiny_directory):
    with redraft.load(str(tiny_directory), cache_memory=30_000) as engine:
        with pytest.raises(redraft.OutOfMemory, match=r"224 tokens .* the cache has 16,384, see cache_memory"):
            engine.generate([3] * 200, params())
        replies = engine.generate([PROMPT] * 5, params())
        assert len({reply.token_ids for reply in replies}) == 1


def test_closed_engine_refuses(tiny_directory):
    engine = redraft.load(str(tiny_directory))
    engine.close()
    with pytest.raises(redraft.Cancelled, match="closed"):
        engine.generate(PROMPT)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"device": "mps"}, "mps"),
        ({"dtype": "int3"}, "int3"),
        ({"max_batch": 0}, "max_batch"),
        ({"max_context": 5000}, "1024"),
    ],
)
def test_load_refuses_options_by_name(tiny_directory, options, word):
    with pytest.raises(redraft.InvalidRequest, match=word):
        redraft.load(str(tiny_directory), **options)


def test_every_field_of_the_config_is_a_keyword_of_load_so_that_every_option_acts():
    keywords = set(inspect.signature(redraft.load).parameters) - {"model", "adapter"}
    assert keywords == {field.name for field in dataclasses.fields(EngineConfig)}


def test_how_prompts_are_cut_into_steps_and_commits_folded_reaches_the_engine():
    with redraft.load("redraft-sudoku", prefill_chunks=3, fold_commits=True) as engine:
        family = engine.runner.families["diffusion"]
        assert isinstance(family, BlockDiffusion)
        assert (family.prefill_chunks, family.folds_commits) == (3, True)
