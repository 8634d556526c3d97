"""Shares, intervals and revisions."""

from types import SimpleNamespace

import pytest

from redraft.evaluation.metrics import by_group, figure, mean, num_revoked, pooled_rate, rate, wilson
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
    assert rate([])["share"] is None and figure([]) is None and figure([None]) is None


def test_a_rate_counts():
    assert rate([True, False, True, True]) | {"interval": None} == {
        "successes": 3,
        "count": 4,
        "share": 0.75,
        "interval": None,
    }


def test_outcomes_of_one_group_are_counted_all_and_trusted_as_one():
    pooled = pooled_rate([(True, True, True), (False, False), (True,)])
    assert (pooled["successes"], pooled["count"]) == (4, 6)
    assert pooled["interval"] == pytest.approx(list(wilson(2, 3)))


def test_a_mean_has_a_bootstrap_interval_of_about_two_standard_errors():
    found = mean([0.0, 1.0] * 200)
    assert found["mean"] == 0.5 and found["count"] == 400
    assert found["interval"] == pytest.approx([0.451, 0.549], abs=0.006)
    assert mean([3.0])["interval"] == [3.0, 3.0]


def test_a_figure_is_a_rate_of_booleans_a_pooled_one_of_lists_and_a_mean_of_numbers():
    assert figure([True, None, False]) == rate([True, False])
    assert figure([[True], [False, True]]) == pooled_rate([[True], [False, True]])
    assert figure([1.0, 2.0]) == mean([1.0, 2.0])


def test_rows_are_counted_in_all_in_their_bucket_and_at_their_level():
    items = [SimpleNamespace(bucket=bucket, level=level) for bucket, level in (("a", 1), ("a", 2), ("b", 2))]
    groups = by_group(items, [{"right": True}, {"right": False}, {"right": False}])
    assert {name: row["right"]["count"] for name, row in groups["figures"].items()} == {"all": 3, "a": 2, "b": 1}
    assert {level: row["right"]["successes"] for level, row in groups["curve"].items()} == {"1": 1, "2": 0}
    assert "curve" not in by_group([SimpleNamespace(bucket="a", level=None)], [{"right": True}])


def test_a_position_accepted_with_another_token_than_committed_is_revoked_once():
    drafts = [draft((1, 2, 3), accepted=(0, 1)), draft((1, 5, 3), accepted=(1,)), draft((1, 4, 9), accepted=(0, 1))]
    assert num_revoked(drafts, (1, 4, 9)) == 1


def test_a_position_that_was_never_accepted_with_another_token_is_not_revoked():
    assert num_revoked([draft((7, 8), accepted=()), draft((1, 8), accepted=(0, 1))], (1, 8)) == 0
