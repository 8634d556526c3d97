import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import redraft
from redraft import InvalidRequest, ModelFailure, Rules, SamplingParams, generate_plain
from redraft.diffusion.commit import CommitBest
from redraft.diffusion.process import CounterDraws, Place
from redraft.diffusion.sampler import Confidence

C, V = 6, 10


class Scripted:
    """A model that answers each denoise call with the next of the given canvases, as near-certain logits.

    A float among the tokens of a canvas makes that position uniform instead.
    """

    canvas_length = C
    vocab_size = V

    def __init__(self, *canvases, sharpness=20.0):
        self.answers = [self._logits(canvas, sharpness) for canvas in canvases]
        self.encoded, self.denoised, self.signals, self.caches = [], [], [], []

    @staticmethod
    def _logits(canvas, sharpness):
        logits = torch.zeros(1, len(canvas), V)
        for position, token in enumerate(canvas):
            if isinstance(token, int):
                logits[0, position, token] = sharpness
        return logits

    def new_cache(self, batch_size=1):
        assert batch_size == 1
        self.caches.append([])
        return self.caches[-1]

    def encode(self, input_ids, cache, logits=True):
        assert logits is False
        self.encoded.append(input_ids.tolist())
        cache.append(len(self.denoised))

    def denoise(self, canvas, cache, self_conditioning_logits=None):
        assert cache is self.caches[-1]
        self.denoised.append(canvas[0].tolist())
        self.signals.append(self_conditioning_logits)
        return self.answers[min(len(self.denoised), len(self.answers)) - 1]


class Tables:
    """A small deterministic model: logits from tables by token, position and everything encoded, plus the signal."""

    canvas_length = C
    vocab_size = V

    def __init__(self, seed, scale=3.0):
        generator = torch.Generator().manual_seed(seed)
        self.by_token = torch.randn(V, V, generator=generator) * scale
        self.by_position = torch.randn(64, V, generator=generator) * scale
        self.by_history = torch.randn(V, V, generator=generator) * scale

    def new_cache(self, batch_size=1):
        return []

    def encode(self, input_ids, cache, logits=True):
        cache.extend(input_ids[0].tolist())

    def denoise(self, canvas, cache, self_conditioning_logits=None):
        start = len(cache) % 32
        logits = self.by_token[canvas] + self.by_position[start : start + canvas.shape[1]]
        logits = logits + self.by_history[cache].mean(dim=0)
        if self_conditioning_logits is not None:
            logits = logits + 2 * self_conditioning_logits.softmax(dim=-1) @ self.by_token
        return logits


def run(model, generator=0, prompt=(1, 2), rules=None, **params):
    params.setdefault("stop_token_ids", [9])
    wanted = SamplingParams(**params)
    return generate_plain(model, list(prompt), wanted, generator, rules or Rules())


# what is committed, and when


def test_the_argmax_canvas_of_the_last_step_is_committed():
    answer = [1, 2, 3, 0.5, 4, 5]  # position 3 is uniform: its draws are random, its argmax is 0
    for seed in range(5):
        assert run(Scripted(answer), generator=seed, max_tokens=C, max_denoising_steps=4) == [1, 2, 3, 0, 4, 5]


def test_a_canvas_ends_at_the_second_of_two_equal_confident_steps():
    model = Scripted([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 7], [1, 2, 3, 4, 5, 7], [0] * C)
    assert run(model, max_tokens=C) == [1, 2, 3, 4, 5, 7]
    assert len(model.denoised) == 3


def test_an_unsure_canvas_ends_at_the_step_limit():
    model = Scripted([1, 2, 3, 4, 5, 0.5])
    run(model, max_tokens=C, max_denoising_steps=7)
    assert len(model.denoised) == 7


def test_a_higher_stability_threshold_takes_more_steps():
    model = Scripted([1] * C)
    run(model, max_tokens=C, stability_threshold=4)
    assert len(model.denoised) == 5


def test_the_reply_ends_with_the_first_stop_token():
    model = Scripted([1, 2, 9, 3, 9, 4])
    assert run(model, max_tokens=30) == [1, 2, 9]
    assert len(model.encoded) == 1


def test_max_tokens_trims_exactly_and_the_last_canvas_is_not_encoded():
    first, second = [1] * C, [2] * C
    model = Scripted(first, first, second, second)
    assert run(model, max_tokens=C + 2, prompt=(7, 8)) == [*first, 2, 2]
    assert model.encoded == [[[7, 8]], [first]]


def test_a_whole_number_of_canvases_starts_no_further_one():
    model = Scripted([1] * C)
    assert len(run(model, max_tokens=2 * C)) == 2 * C
    assert len(model.encoded) == 2


def test_the_history_of_one_canvas_does_not_stop_the_next():
    same = [1] * C
    model = Scripted(same)
    run(model, max_tokens=2 * C)
    assert len(model.denoised) == 4


# what the model is shown


def test_self_conditioning_is_off_at_the_first_step_of_each_canvas_and_then_takes_the_tempered_logits():
    model = Scripted([1] * C, [2] * C, [2] * C)
    run(model, max_tokens=2 * C, t_min=0.4, t_max=0.8, max_denoising_steps=4)
    assert [signal is None for signal in model.signals] == [True, False, False, True, False]
    torch.testing.assert_close(model.signals[1], model.answers[0] / 0.8)
    torch.testing.assert_close(model.signals[2], model.answers[1] / 0.7)


def test_the_next_canvas_holds_accepted_draws_and_noise_elsewhere():
    model = Scripted([1, 2, 3, 4, 0.5, 0.5])
    run(model, generator=5, max_tokens=C, max_denoising_steps=2)
    draws = CounterDraws(5)
    noise = draws.noise(Place(0, 0), C, V).tolist()
    # Four certain positions come first in the order, then one uniform one: entropies before it sum to next to nothing.
    drawn = math.floor(draws.uniforms(Place(0, 0), C)[4].item() * V)
    assert model.denoised[0] == draws.first_canvas(0, C, V).tolist()
    assert model.denoised[1] == [1, 2, 3, 4, drawn, noise[5]]


def test_a_canvas_that_starts_anew_is_noise_without_a_signal_and_without_a_past():
    # Settled at steps 1 and 2, but a restart lies between them; then at 2 and 3.
    model = Scripted([0.5] * C, [1] * C, [1] * C, [1] * C)
    run(model, generator=5, max_tokens=C, max_denoising_steps=6, restart_after=2, t_min=0.4, t_max=0.8)
    assert len(model.denoised) == 4
    assert [signal is None for signal in model.signals] == [True, False, True, False]
    assert model.denoised[2] == CounterDraws(5).noise(Place(0, 1), C, V).tolist()
    torch.testing.assert_close(model.signals[1], model.answers[0] / 0.8)
    torch.testing.assert_close(model.signals[3], model.answers[2] / 0.8)


def test_the_last_step_commits_whether_or_not_the_canvas_would_start_anew():
    model = Scripted([0.5] * C, [0.5] * C, [0.5] * C, [3] * C)
    assert run(model, max_tokens=C, max_denoising_steps=4, restart_after=2) == [3] * C
    assert len(model.denoised) == 4


def test_a_shorter_canvas_is_the_callers_choice():
    model = Tables(0)
    assert len(run(model, canvas_length=4, max_tokens=7, stop_token_ids=[])) == 7
    assert run(model, canvas_length=C, max_tokens=7) == run(model, max_tokens=7)


def test_a_prompt_tensor_and_a_list_are_the_same():
    wanted = SamplingParams(max_tokens=12)
    assert generate_plain(Tables(0), torch.tensor([[1, 2]]), wanted, 3) == generate_plain(Tables(0), [1, 2], wanted, 3)


# params


def test_min_tokens_is_zero_unless_asked_for():
    empty = [9] * C
    assert run(Scripted(empty), max_tokens=C) == [9]
    assert len(run(Scripted(empty), max_tokens=3 * C, min_tokens=8)) == 9


def test_stop_ids_are_the_callers_else_the_models_else_none():
    model = Scripted([1, 2, 3, 4, 5, 6])
    assert run(model, max_tokens=C, stop_token_ids=None) == [1, 2, 3, 4, 5, 6]
    model.eos_token_ids = (4,)
    assert run(model, max_tokens=C, stop_token_ids=None) == [1, 2, 3, 4]
    assert run(model, max_tokens=C, stop_token_ids=[2]) == [1, 2]
    assert run(model, max_tokens=C, stop_token_ids=None, ignore_eos=True) == [1, 2, 3, 4, 5, 6]


def test_a_ban_reaches_the_committed_ids():
    assert 2 not in run(Scripted([1, 2, 2, 4, 5, 6]), max_tokens=C, logit_bias={2: -100})


def test_temperature_zero_accepts_only_argmax_tokens():
    model = Scripted([1, 2, 3, 4, 0.5, 0.5])
    run(model, generator=5, max_tokens=C, max_denoising_steps=2, temperature=0)
    assert model.denoised[1][:5] == [1, 2, 3, 4, 0]


@pytest.mark.parametrize(
    "params",
    [
        {"stop": ["x"]},
        {"deadline": 1.0},
        {"constraint": object()},
        {"logprobs": 0},
        {"prompt_logprobs": 2},
        {"record_trace": True},
        {"decoding": "autoregressive"},
        {"seed": 8},
        {"canvas_length": C + 1},
        {"min_tokens": C + 1},
    ],
)
def test_what_it_cannot_honour_is_refused_by_name(params):
    with pytest.raises(InvalidRequest, match=next(iter(params))):
        run(Scripted([1] * C), generator=7, max_tokens=C, **params)


def test_a_seed_in_the_params_that_is_the_generators_is_no_contradiction():
    assert run(Tables(0), generator=7, max_tokens=C) == generate_plain(
        Tables(0), [1, 2], SamplingParams(max_tokens=C, seed=7, stop_token_ids=[9]), 7
    )


@pytest.mark.parametrize("prompt", [[], [V], [-1], torch.zeros(2, 3, dtype=torch.long), torch.tensor([1, 2])])
def test_a_prompt_that_cannot_be_encoded_is_refused(prompt):
    with pytest.raises(InvalidRequest, match="prompt_ids"):
        generate_plain(Tables(0), prompt, SamplingParams(), 0)


@pytest.mark.parametrize("generator", [True, -1, 2**64])
def test_a_generator_out_of_range_is_refused(generator):
    with pytest.raises(InvalidRequest, match="generator"):
        generate_plain(Tables(0), [1], SamplingParams(), generator)


def test_nan_logits_raise_model_failure():
    model = Scripted([1] * C)
    model.answers[0][0, 2, 1] = math.nan
    with pytest.raises(ModelFailure, match="canvas 0, denoising step 0"):
        run(model, max_tokens=C)


# rules are replaceable values


def test_every_rule_can_be_replaced():
    seen = []
    rules = Rules(
        schedule=lambda proportion: seen.append(("schedule", proportion)) or 1.0,
        accept=lambda prediction: seen.append(("accept",)) or torch.ones(C, dtype=torch.bool),
        renoise=lambda canvas, prediction, accepted, noise: seen.append(("renoise",)) or torch.full((C,), 3),
        stop=lambda history, prediction: seen.append(("stop", len(history))) or len(history) == 1,
        commit=lambda prediction: seen.append(("commit",)) or prediction.sample.tolist(),
    )
    model = Scripted([1] * C)
    assert run(model, rules=rules, max_tokens=C, max_denoising_steps=4) == [1] * C
    assert model.denoised[1] == [3] * C
    assert [entry for entry in seen if entry[0] in ("schedule", "stop", "commit")] == [
        ("schedule", 1.0),
        ("stop", 0),
        ("schedule", 0.75),
        ("stop", 1),
        ("commit",),
    ]


def test_rules_not_given_come_from_the_params():
    filled = Rules(accept=Confidence(0.9)).filled(SamplingParams().resolved(redraft.config.GenerationDefaults()), (9,))
    assert filled.accept == Confidence(0.9)
    assert filled.commit == CommitBest((9,))
    assert (filled.schedule.t_min, filled.schedule.t_max) == (0.4, 0.8)
    assert (filled.stop.stability, filled.stop.confidence, filled.stop.stop_ids) == (1, 0.005, None)


def test_a_commit_rule_may_hand_on_part_of_a_canvas_but_not_nothing():
    model = Scripted([1, 2, 3, 4, 5, 6])
    halves = Rules(commit=lambda prediction: prediction.best.tolist()[:3])
    assert run(model, rules=halves, max_tokens=8) == [1, 2, 3, 1, 2, 3, 1, 2]
    assert model.encoded[1:] == [[[1, 2, 3]], [[1, 2, 3]]]
    with pytest.raises(InvalidRequest, match=r"rules\.commit"):
        run(model, rules=Rules(commit=lambda prediction: []), max_tokens=8)


# randomness


def test_the_same_seed_gives_the_same_ids_and_other_seeds_differ():
    replies = [
        tuple(run(Tables(1), generator=seed, max_tokens=24, max_denoising_steps=6, stop_token_ids=[]))
        for seed in [*range(8), *range(8)]
    ]
    assert replies[:8] == replies[8:]
    assert len(set(replies)) > 4


def test_both_words_of_the_seed_matter():
    first, second = (
        run(Tables(1), generator=seed, max_tokens=24, max_denoising_steps=6, stop_token_ids=[])
        for seed in (3, 3 + 2**32)
    )
    assert first != second


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), weights=st.integers(0, 50), steps=st.integers(1, 12))
def test_what_is_committed_is_always_the_argmax_of_the_last_step(seed, weights, steps):
    canvases = []

    def commit(prediction):
        canvases.append(prediction.signal.argmax(dim=-1).tolist())
        return CommitBest((9,))(prediction)

    reply = run(
        Tables(weights), generator=seed, rules=Rules(commit=commit), max_tokens=3 * C, max_denoising_steps=steps
    )
    expected = [token for canvas in canvases for token in canvas]
    assert reply == expected[: len(reply)]
    assert len(reply) == 3 * C or reply[-1] == 9


# an independent loop: plain Python and double precision, written from the description alone


def philox_word(seed, canvas_index, step, stream, position):
    c = [canvas_index, step, stream, position]
    k = [seed % 2**32, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 % 2**32, (p0 >> 32) ^ c[3] ^ k[1], p0 % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c[0]


def independent(model, prompt, seed, max_tokens, num_steps, bound=0.1, threshold=0.005, stop_id=9, period=None):
    period = period or num_steps
    cache, reply, index = [], [], 0
    pending = prompt
    while True:
        model.encode(torch.tensor([pending]), cache)
        canvas = [philox_word(seed, index, 0, 0, i) * V >> 32 for i in range(C)]
        signal, previous = None, None
        for step in range(num_steps):
            temperature = 0.4 + 0.4 * (period - step % period) / period
            logits = model.denoise(torch.tensor([canvas]), cache, signal)[0].double().numpy() / temperature
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities = weights / weights.sum(axis=1, keepdims=True)
            entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1)
            best = logits.argmax(axis=1).tolist()
            spent, kept = 0.0, set()
            for position in sorted(range(C), key=lambda i: (entropy[i], i)):
                if spent <= bound:
                    kept.add(position)
                spent += entropy[position]
            is_anew = step % period == period - 1
            for position in range(C):
                if position in kept and not is_anew:
                    u = (philox_word(seed, index, step, 1, position) >> 8) / 2**24
                    canvas[position] = int((np.cumsum(probabilities[position]) > u).argmax())
                else:
                    canvas[position] = philox_word(seed, index, step, 2, position) * V >> 32
            if best == previous and entropy.mean() < threshold:
                break
            previous, signal = (None, None) if is_anew else (best, torch.tensor(logits, dtype=torch.float32)[None])
        if stop_id in best:
            best = best[: best.index(stop_id) + 1]
        reply += best
        if reply[-1] == stop_id or len(reply) >= max_tokens:
            return reply[:max_tokens]
        pending, index = best, index + 1


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 5, 2**64 - 1])
@pytest.mark.parametrize("weights", range(6))
@pytest.mark.parametrize("period", [None, 3, 4])
def test_an_independent_loop_writes_the_same_reply(seed, weights, period):
    model = Tables(weights, scale=2.0 + 2 * (weights % 3))
    expected = independent(model, [1, 2, 3], seed, max_tokens=4 * C - 1, num_steps=9, period=period)
    asked = {"max_tokens": 4 * C - 1, "max_denoising_steps": 9, "restart_after": period}
    assert run(model, generator=seed, prompt=[1, 2, 3], **asked) == expected
