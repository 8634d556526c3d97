"""Shares, intervals and revisions."""

import pytest

from redraft.evaluation.metrics import mean, num_revoked, rate, wilson
from redraft.reply import Draft


def draft(token_ids: tuple[int, ...], accepted: tuple[int, ...]) -> Draft:
    return Draft(
        canvas_index=0,
        denoising_step=0,
        token_ids=token_ids,
        text="",
        changed=(),
        accepted=accepted,
        mean_entropy=0.0,
        temperature=1.0,
    )


def test_wilson_intervals_are_those_of_the_textbook():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


@pytest.mark.parametrize("count", [1, 7, 300])
def test_wilson_intervals_hold_the_share_and_stay_in_range(count):
    for successes in {0, count // 2, count}:
        low, high = wilson(successes, count)
        assert 0 <= low <= successes / count <= high + 1e-12 <= 1 + 1e-12


def test_nothing_observed_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    assert rate([])["share"] is None and mean([]) is None


def test_a_rate_counts():
    assert rate([True, False, True, True]) | {"interval": None} == {
        "successes": 3,
        "count": 4,
        "share": 0.75,
        "interval": None,
    }


def test_a_position_accepted_with_another_token_than_committed_is_revoked_once():
    drafts = [draft((1, 2, 3), accepted=(0, 1)), draft((1, 5, 3), accepted=(1,)), draft((1, 4, 9), accepted=(0, 1))]
    assert num_revoked(drafts, (1, 4, 9)) == 1


def test_a_position_that_was_never_accepted_with_another_token_is_not_revoked():
    assert num_revoked([draft((7, 8), accepted=()), draft((1, 8), accepted=(0, 1))], (1, 8)) == 0
