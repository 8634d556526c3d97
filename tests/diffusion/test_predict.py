import math

import pytest
import torch

from redraft.config import GenerationDefaults, SamplingParams
from redraft.diffusion.predict import (
    Asked,
    LogitRule,
    draw_logits,
    not_numbers,
    predict,
    predict_batch,
    tempered_logits,
)
from redraft.diffusion.process import CounterDraws, GeneratorDraws, Place
from redraft.errors import InvalidRequest, ModelFailure

V = 12
DRAWS = CounterDraws(0)
PLACE = Place(0, 0)
STOP = (3,)


def logits(rows=40, seed=0, scale=2.0):
    return torch.randn(rows, V, generator=torch.Generator().manual_seed(seed)) * scale


def rule(**params):
    wanted = SamplingParams(**params).resolved(GenerationDefaults(), min_tokens=0)
    return LogitRule.from_params(wanted, STOP, V)


def prediction(values=None, temperature=0.6, place=PLACE, draws=DRAWS, num_committed=0, **params):
    values = logits() if values is None else values
    return predict(values, temperature, rule(**params), draws, place, num_committed=num_committed)


def test_the_first_positions_of_a_prediction_are_its_rows():
    whole = prediction(logprobs=2)
    part = whole.first(7)
    for name in ("entropy", "sample", "best", "signal", "free", "best_logprob"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[:7])
    assert part.log_z == whole.log_z and [len(rows) for rows in part.top] == [7, 7]
    assert whole.first(40) is whole


def test_argmax_entropy_and_signal_are_those_of_the_tempered_logits():
    result = prediction(temperature=0.5)
    tempered = logits() / 0.5
    entropy = torch.distributions.Categorical(logits=tempered.double()).entropy()
    torch.testing.assert_close(result.entropy.double(), entropy, atol=1e-5, rtol=1e-5)
    assert torch.equal(result.best, tempered.argmax(dim=-1))
    assert torch.equal(result.signal, tempered)
    torch.testing.assert_close(result.best_logprob, tempered.log_softmax(dim=-1).max(dim=-1).values)


def test_without_a_constraint_every_position_is_free_and_validity_costs_nothing():
    result = prediction()
    assert result.free.all()
    assert result.log_z == 0


def test_the_logits_are_left_as_they_were():
    values = logits()
    prediction(values, logit_bias={1: 3.0, 2: -100}, min_tokens=5, top_k=2)
    assert torch.equal(values, logits())


def test_the_callers_temperature_moves_the_draw_and_nothing_else():
    plain = prediction()
    cold = predict(logits(), 0.6, rule(temperature=0.1), DRAWS, PLACE)
    hot = predict(logits(), 0.6, rule(temperature=2), DRAWS, PLACE)
    for other in (cold, hot):
        for name in ("entropy", "best", "best_logprob", "signal"):
            assert torch.equal(getattr(plain, name), getattr(other, name)), name
    agreement = [(each.sample == each.best).float().mean().item() for each in (cold, plain, hot)]
    assert agreement[0] > agreement[1] > agreement[2]


@pytest.mark.parametrize("draws", [DRAWS, GeneratorDraws(torch.Generator().manual_seed(0))])
def test_temperature_zero_draws_the_argmax(draws):
    result = predict(logits(), 0.6, rule(temperature=0), draws, PLACE)
    assert torch.equal(result.sample, result.best)


def test_top_k_one_draws_the_argmax_and_leaves_the_entropy():
    result = prediction(top_k=1)
    assert torch.equal(result.sample, result.best)
    assert torch.equal(result.entropy, prediction().entropy)


def test_top_k_ranks_equal_logits_by_id():
    kept = draw_logits(torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0]]), LogitRule(vocab_size=5, top_k=2)).isfinite()
    assert kept.tolist() == [[False, True, True, False, False]]


def test_top_p_keeps_the_fewest_best_ids_that_reach_it():
    probabilities = torch.tensor([[0.1, 0.5, 0.15, 0.25]])
    kept = [
        draw_logits(probabilities.log(), LogitRule(vocab_size=4, top_p=top_p)).isfinite()[0].tolist()
        for top_p in (0.01, 0.49, 0.6, 0.76)
    ]
    assert kept == [
        [False, True, False, False],
        [False, True, False, False],
        [False, True, False, True],
        [False, True, True, True],
    ]


def test_top_p_is_taken_of_the_top_k_at_the_draws_temperature():
    probabilities = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    # Of the two best alone, 0.4 / 0.7 = 0.57 reaches 0.55; at temperature 2 it is 0.54 and does not.
    once = draw_logits(probabilities.log(), LogitRule(vocab_size=4, top_k=2, top_p=0.55))
    twice = draw_logits(probabilities.log(), LogitRule(vocab_size=4, top_k=2, top_p=0.55, temperature=2.0))
    assert once.isfinite()[0].tolist() == [True, False, False, False]
    assert twice.isfinite()[0].tolist() == [True, True, False, False]


def test_a_cut_that_keeps_everything_draws_the_same_tokens():
    assert torch.equal(prediction(top_k=V).sample, prediction().sample)
    assert torch.equal(prediction(top_p=1.0).sample, prediction().sample)


def test_bias_is_added_before_the_temperature():
    tempered = tempered_logits(logits(), 0.5, rule(logit_bias={4: 1.5}))
    torch.testing.assert_close(tempered[:, 4], (logits()[:, 4] + 1.5) / 0.5)
    assert torch.equal(tempered[:, :4], (logits() / 0.5)[:, :4])


@pytest.mark.parametrize("bias", [-100, -1000.0, -math.inf])
def test_a_banned_id_has_probability_zero_everywhere(bias):
    values = logits()
    values[:, 7] = 25.0  # it would always win
    result = prediction(values, logit_bias={7: bias})
    assert (result.signal[:, 7] == -math.inf).all()
    assert not (result.sample == 7).any() and not (result.best == 7).any()
    assert result.entropy.isfinite().all()


def test_min_tokens_bans_stop_ids_below_it_and_only_there():
    values = logits()
    values[:, 3] = 25.0
    result = prediction(values, min_tokens=45, num_committed=40)
    assert not (result.best[:5] == 3).any() and not (result.sample[:5] == 3).any()
    assert (result.best[5:] == 3).all()
    assert torch.equal(prediction(values, min_tokens=40, num_committed=40).signal, values / 0.6)


def test_the_k_best_come_ranked_with_their_log_probabilities():
    values = logits()
    values[0, :] = 0.0
    ids, logprobs = prediction(values, logprobs=V).top
    expected = (values / 0.6).log_softmax(dim=-1)
    torch.testing.assert_close(logprobs, expected.gather(-1, ids))
    assert ids[0].tolist() == list(range(V))
    assert (logprobs.diff(dim=-1) <= 0).all()
    assert torch.equal(ids[:, 0], prediction(values).best)
    assert prediction(values).top is None


def test_more_best_ids_than_the_vocabulary_has_are_all_of_it():
    assert prediction(logprobs=V + 5).top[0].shape == (40, V)


@pytest.mark.parametrize("params", [{}, {"top_k": 3}, {"temperature": 0}])
@pytest.mark.parametrize("draws", [DRAWS, GeneratorDraws(torch.Generator().manual_seed(0))])
def test_nan_logits_raise_model_failure_naming_the_place(params, draws):
    values = logits()
    values[9, 2] = math.nan
    with pytest.raises(ModelFailure, match=r"canvas 3, denoising step 4 .* 1 positions \(first: 9\)"):
        predict(values, 0.6, rule(**params), draws, Place(3, 4))


def test_one_row_predicts_what_it_predicts_in_its_canvas():
    canvas = prediction()
    alone = predict(logits()[8:9], 0.6, rule(), DRAWS, Place(0, 0, position=8))
    assert torch.equal(alone.sample, canvas.sample[8:9])
    assert torch.equal(alone.entropy, canvas.entropy[8:9])


def test_requests_of_one_batch_are_predicted_as_each_alone():
    asked = [
        Asked(num_rows=rows, temperature=0.4 + i / 10, rule=rule(**params), draws=CounterDraws(i), place=Place(i, 2))
        for i, (rows, params) in enumerate(
            [
                (5, {}),
                (1, {"temperature": 0.5, "logit_bias": {4: 2.0, 5: -100}}),
                (9, {"temperature": 0}),
                (3, {"top_k": 2, "logprobs": 3, "min_tokens": 2}),
            ]
        )
    ]
    values = [logits(one.num_rows, seed=i) for i, one in enumerate(asked)]
    for one, own, got in zip(asked, values, predict_batch(torch.cat(values), asked), strict=True):
        alone = predict(own, one.temperature, one.rule, one.draws, one.place)
        for name in ("entropy", "sample", "best", "signal", "best_logprob"):
            assert torch.equal(getattr(got, name), getattr(alone, name)), name
        assert (got.top is None) == (alone.top is None)


def test_a_batch_marks_the_rows_that_are_not_numbers_and_spares_the_others():
    values = logits(6)
    values[4, 1] = math.inf
    asked = [Asked(num_rows=3, temperature=0.6, rule=rule(), draws=DRAWS, place=PLACE)] * 2
    fine, bad = predict_batch(values, asked)
    assert fine.entropy.isfinite().all()
    assert bad.entropy.isnan().tolist() == [False, True, False]
    assert "1 positions (first: 1)" in str(not_numbers(bad, PLACE))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"logit_bias": {V: 1.0}}, f"logit_bias has the id {V}: want ids from 0 to {V - 1}"),
        ({"stop_token_ids": [2, V + 1]}, f"stop_token_ids has the id {V + 1}"),
        ({"logit_bias": dict.fromkeys(range(V), -100)}, "at least one id left"),
        ({"logit_bias": dict.fromkeys(set(range(V)) - {3}, -100), "min_tokens": 1}, "at least one id left"),
    ],
)
def test_ids_that_cannot_be_are_refused(params, message):
    with pytest.raises(InvalidRequest, match=message):
        rule(**params)


def test_a_checkpoints_end_id_outside_the_vocabulary_is_harmless():
    wanted = SamplingParams(min_tokens=2).resolved(GenerationDefaults())
    assert LogitRule.from_params(wanted, (3, 106), V).stop_ids == (3,)
