import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.kernels.native import native_state, native_suite
from redraft.kernels.statistics import inverse_cdf
from redraft.kernels.statistics import token_statistics as plain_statistics

LARGEST_UNIFORM = 1 - 2.0**-24


@pytest.fixture(params=["plain torch", "native"])
def token_statistics(request):
    """Both makers are held to the same claims."""
    if request.param == "plain torch":
        return plain_statistics
    if not native_state().is_usable:
        pytest.skip(native_state().reason)
    statistics = native_suite().statistics
    return lambda tempered, uniforms=None, draw_temperatures=None: statistics(
        tempered.contiguous(), uniforms, draw_temperatures
    )


def reference(tempered):
    """Entropy, argmax log-probability and log-normaliser in fp64, by the definitions."""
    logits = tempered.double()
    log_probabilities = logits.log_softmax(dim=-1)
    probabilities = log_probabilities.exp()
    entropy = -torch.where(probabilities > 0, probabilities * log_probabilities, 0.0).sum(dim=-1)
    return entropy, log_probabilities.max(dim=-1).values, logits.logsumexp(dim=-1)


@pytest.mark.parametrize("vocab_size", [2, 17, 4096])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_statistics_match_the_definitions_in_double_precision(token_statistics, vocab_size, scale):
    tempered = torch.randn(20, vocab_size, generator=torch.Generator().manual_seed(vocab_size)) * scale
    entropy, best_logprob, log_normaliser = reference(tempered)
    statistics = token_statistics(tempered)
    torch.testing.assert_close(statistics.entropy.double(), entropy, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(statistics.best_logprob.double(), best_logprob, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(statistics.log_normaliser.double(), log_normaliser, atol=1e-5, rtol=1e-5)
    assert torch.equal(statistics.best, tempered.argmax(dim=-1))
    assert statistics.sample is None


def test_impossible_ids_weigh_nothing_and_make_no_nan(token_statistics):
    tempered = torch.tensor([[-math.inf, 1.0, -math.inf, 1.0], [5.0, -math.inf, -math.inf, -math.inf]])
    statistics = token_statistics(tempered, torch.tensor([LARGEST_UNIFORM, 0.5]))
    torch.testing.assert_close(statistics.entropy, torch.tensor([math.log(2), 0.0]))
    assert statistics.best.tolist() == [1, 0]
    assert statistics.sample.tolist() == [3, 0]
    assert statistics.log_normaliser.isfinite().all()


def test_ties_go_to_the_lowest_id(token_statistics):
    assert token_statistics(torch.tensor([[0.0, 2.0, 1.0, 2.0]])).best.tolist() == [1]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_that_is_not_numbers_has_no_log_normaliser_and_spares_its_neighbours(token_statistics, bad):
    tempered = torch.tensor([[0.0, 1.0, 2.0], [0.0, bad, 1.0], [-math.inf] * 3])
    statistics = token_statistics(tempered, torch.full((3,), 0.5))
    assert statistics.log_normaliser.isfinite().tolist() == [True, False, False]
    assert (statistics.sample < 3).all()


def test_the_input_is_left_as_it_was(token_statistics):
    tempered = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    before = tempered.clone()
    token_statistics(tempered, torch.full((3,), 0.5), draw_temperatures=torch.full((3,), 0.3))
    assert torch.equal(tempered, before)


def test_the_drawn_id_is_the_smallest_with_cumulative_weight_strictly_above():
    weights = torch.tensor([0.0, 1.0, 0.0, 2.0, 1.0, 0.0]).expand(8, 6)
    uniforms = torch.tensor([0.0, 0.125, 0.25 - 2**-24, 0.25, 0.5, 0.75 - 2**-24, 0.75, LARGEST_UNIFORM])
    drawn = inverse_cdf(weights, uniforms, best=torch.full((8,), 3))
    assert drawn.tolist() == [1, 1, 1, 3, 3, 3, 4, 4]


@settings(max_examples=200, deadline=None)
@given(
    weights=st.lists(st.one_of(st.just(0.0), st.floats(2**-140, 1.0, width=32)), min_size=1, max_size=40).filter(
        lambda weights: max(weights) > 0
    ),
    uniform=st.one_of(st.sampled_from([0.0, LARGEST_UNIFORM]), st.integers(0, 2**24 - 1).map(lambda n: n * 2.0**-24)),
)
def test_a_draw_never_has_weight_zero(weights, uniform):
    row = torch.tensor([weights])
    drawn = inverse_cdf(row, torch.tensor([uniform]), best=row.argmax(dim=-1)).item()
    assert row[0, drawn] > 0


def test_a_flat_row_of_a_large_vocabulary_can_be_drawn_at_both_ends(token_statistics):
    tempered = torch.zeros(2, 262_144)
    drawn = token_statistics(tempered, torch.tensor([0.0, LARGEST_UNIFORM])).sample
    assert drawn.tolist() == [0, 262_143]


@pytest.mark.parametrize("draw_temperature", [1.0, 0.5, 2.0])
def test_draws_follow_the_distribution_at_the_draw_temperature(token_statistics, draw_temperature):
    num_draws = 40_000
    logits = torch.tensor([0.3, -1.0, 0.0, 1.2, -math.inf])
    uniforms = torch.rand(num_draws, generator=torch.Generator().manual_seed(1))
    statistics = token_statistics(logits.expand(num_draws, 5), uniforms, torch.full((num_draws,), draw_temperature))
    counts = torch.bincount(statistics.sample, minlength=5).double()
    expected = (logits.double() / draw_temperature).softmax(dim=0) * num_draws
    assert counts[4] == 0
    assert ((counts - expected)[:4] ** 2 / expected[:4]).sum() < 16.3  # 0.999 quantile, 3 degrees of freedom


def test_entropy_and_argmax_do_not_see_the_draw_temperature(token_statistics):
    tempered = torch.randn(4, 9, generator=torch.Generator().manual_seed(2))
    plain, hot = token_statistics(tempered), token_statistics(tempered, torch.full((4,), 0.5), torch.full((4,), 2.0))
    assert torch.equal(plain.entropy, hot.entropy)
    assert torch.equal(plain.best, hot.best)


def test_a_row_does_not_depend_on_the_rows_beside_it(token_statistics):
    tempered = torch.randn(33, 1000, generator=torch.Generator().manual_seed(3)) * 4
    uniforms = torch.rand(33, generator=torch.Generator().manual_seed(4))
    together, alone = token_statistics(tempered, uniforms), token_statistics(tempered[5:6], uniforms[5:6])
    for name in ("entropy", "best", "best_logprob", "log_normaliser", "sample"):
        assert torch.equal(getattr(together, name)[5:6], getattr(alone, name)), name
