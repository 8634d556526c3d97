import torch

from redraft.model.masks import causal_mask


def drawn(mask):
    return ["".join("1" if seen else "." for seen in row) for row in mask.tolist()]


def test_a_query_sees_itself_and_everything_before_it():
    assert drawn(causal_mask(2, 4)) == ["111.", "1111"]


def test_a_window_of_two_shows_a_query_itself_and_one_token_before():
    assert drawn(causal_mask(2, 4, window=2)) == [".11.", "..11"]


def test_a_window_as_long_as_the_context_hides_nothing():
    assert torch.equal(causal_mask(3, 5, window=5), causal_mask(3, 5))


def test_one_query_needs_no_mask():
    assert causal_mask(1, 9) is None
    assert causal_mask(1, 9, window=9) is None
