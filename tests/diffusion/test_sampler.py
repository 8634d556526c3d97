import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.diffusion.predict import Prediction
from redraft.diffusion.sampler import Confidence, EntropyBound, UniformRenoise, WarmStart
from redraft.errors import InvalidRequest


def make(entropy, free=None, best_logprob=None):
    length = len(entropy)
    return Prediction(
        entropy=torch.tensor(entropy, dtype=torch.float32),
        sample=torch.arange(length) + 100,
        best=torch.arange(length) + 200,
        signal=torch.zeros(length, 1),
        free=torch.ones(length, dtype=torch.bool) if free is None else torch.tensor(free),
        best_logprob=torch.zeros(length) if best_logprob is None else torch.tensor(best_logprob),
    )


entropies = st.lists(st.floats(0, 12, width=32), min_size=1, max_size=64)
bounds = st.floats(1e-6, 30)


def test_accepts_by_rising_entropy_while_those_before_sum_to_the_bound():
    # In order 0.01, 0.05, 0.06, 0.2: the sums before are 0, 0.01, 0.06, 0.12.
    accepted = EntropyBound(0.1)(make([0.2, 0.01, 0.06, 0.05]))
    assert accepted.tolist() == [False, True, True, True]


def test_a_sum_equal_to_the_bound_still_accepts():
    assert EntropyBound(0.5)(make([0.25, 0.25, 9.0, 9.5])).tolist() == [True, True, True, False]


def test_equal_entropies_go_to_the_lower_position():
    assert EntropyBound(0.1)(make([1.0, 1.0, 1.0])).tolist() == [True, False, False]


def test_certain_positions_are_accepted_together():
    assert EntropyBound(0.1)(make([0.0, 3.0, 0.0, 0.0])).tolist() == [True, True, True, True]


@settings(deadline=None)
@given(entropy=entropies, bound=bounds)
def test_at_least_one_position_is_accepted(entropy, bound):
    assert EntropyBound(bound)(make(entropy)).any()


@settings(deadline=None)
@given(entropy=entropies, first=bounds, second=bounds)
def test_a_larger_bound_accepts_no_fewer(entropy, first, second):
    small, large = (EntropyBound(bound)(make(entropy)) for bound in sorted((first, second)))
    assert (large | ~small).all()


@settings(deadline=None)
@given(entropy=entropies, bound=bounds, data=st.data())
def test_accepted_positions_have_lower_entropy_than_the_rest(entropy, bound, data):
    accepted = EntropyBound(bound)(make(entropy))
    values = torch.tensor(entropy, dtype=torch.float32)
    assert accepted.all() or values[accepted].max() <= values[~accepted].min()


@pytest.mark.parametrize("rule", [EntropyBound(0.1), Confidence(0.9)])
def test_a_forced_position_is_accepted_and_does_not_use_up_the_one_guaranteed_acceptance(rule):
    accepted = rule(make([5.0, 4.0, 3.0], free=[False, True, True], best_logprob=[0.0, -4.0, -3.0]))
    assert accepted.tolist() == [True, False, True]


def test_confidence_accepts_probabilities_from_the_threshold_up():
    logprobs = [math.log(0.5), math.log(0.95), math.log(0.91)]
    assert Confidence(0.9)(make([1.0] * 3, best_logprob=logprobs)).tolist() == [False, True, True]


def test_confidence_accepts_the_surest_position_when_none_reaches_the_threshold():
    assert Confidence(0.9)(make([1.0] * 3, best_logprob=[-3.0, -1.0, -2.0])).tolist() == [False, True, False]


def test_everything_not_accepted_is_renoised_also_what_was_accepted_before():
    canvas, noise = torch.tensor([100, 101, 7]), torch.tensor([1, 2, 3])
    accepted = torch.tensor([False, True, False])
    assert UniformRenoise()(canvas, make([1.0] * 3), accepted, noise).tolist() == [1, 101, 3]


@pytest.mark.parametrize("renoise", [UniformRenoise(), WarmStart(torch.tensor([7, 8]), torch.tensor([True, True]))])
def test_a_forced_position_is_never_renoised_whatever_was_accepted(renoise):
    prediction = make([1.0, 1.0], free=[False, True])
    nothing = torch.tensor([False, False])
    assert renoise(torch.tensor([5, 5]), prediction, nothing, torch.tensor([1, 2])).tolist() == [100, 2]


def test_warm_start_returns_to_the_text_outside_the_noisy_positions():
    rule = WarmStart(text=torch.tensor([7, 8, 9]), noisy=torch.tensor([False, True, False]))
    accepted = torch.tensor([False, False, True])
    canvas, noise = torch.tensor([0, 0, 0]), torch.tensor([1, 2, 3])
    assert rule(canvas, make([1.0] * 3), accepted, noise).tolist() == [7, 2, 102]


@pytest.mark.parametrize(("rule", "value"), [(EntropyBound, -0.1), (Confidence, 0.0), (Confidence, 1.5)])
def test_a_rule_out_of_range_is_refused(rule, value):
    with pytest.raises(InvalidRequest, match=str(value)):
        rule(value)
