import pytest
import torch

from redraft.cache.view import AutogradCache, ContiguousCache
from redraft.errors import InvalidRequest

SLIDING, FULL = 0, 1  # layers of the small config, window 8


def rows(batch, length, layer, start=0):
    """Keys whose entries are their token's index; values are their negatives."""
    heads, size = ((2, 8), (1, 16))[layer]
    keys = torch.arange(start, start + length).float()[None, :, None, None].expand(batch, length, heads, size)
    return keys, -keys


def tokens(keys_values):
    keys, values = keys_values
    assert torch.equal(values, -keys)
    return keys[0, :, 0, 0].int().tolist()


@pytest.fixture(params=[ContiguousCache, AutogradCache])
def cache(request, make_config):
    return request.param(make_config())


def test_put_returns_the_rows_after_the_held_tokens(cache):
    cache.put(FULL, *rows(1, 3, FULL))
    cache.advance(3)
    assert tokens(cache.put(FULL, *rows(1, 2, FULL, 3))) == [0, 1, 2, 3, 4]
    assert cache.length == 3


def test_rows_that_were_not_advanced_over_are_overwritten(cache):
    cache.put(FULL, *rows(1, 3, FULL))
    cache.advance(3)
    cache.put(FULL, *rows(1, 2, FULL, 50))
    assert tokens(cache.put(FULL, *rows(1, 1, FULL, 70))) == [0, 1, 2, 70]


def test_a_sliding_layer_returns_the_last_window_less_one_held_tokens(cache):
    cache.put(SLIDING, *rows(1, 20, SLIDING))
    cache.advance(20)
    assert tokens(cache.put(SLIDING, *rows(1, 4, SLIDING, 20))) == [*range(13, 20), *range(20, 24)]


@pytest.mark.parametrize("layer", [SLIDING, FULL])
def test_an_offset_counts_rows_of_the_same_batch_as_seen(cache, layer):
    cache.put(layer, *rows(1, 3, layer))
    cache.advance(3)
    cache.put(layer, *rows(1, 4, layer, 3))
    assert tokens(cache.put(layer, *rows(1, 2, layer, 7), offset=4)) == list(range(9))


def test_a_cache_grows_and_keeps_what_it_holds(make_config):
    cache = ContiguousCache(make_config())
    cache.put(FULL, *rows(1, 200, FULL))
    cache.advance(200)
    assert tokens(cache.put(FULL, *rows(1, 400, FULL, 200))) == list(range(600))


def test_a_full_cache_refuses_with_the_numbers(make_config):
    cache = ContiguousCache(make_config(), capacity=4)
    with pytest.raises(InvalidRequest, match=r"5 tokens.*capacity, 4"):
        cache.put(FULL, *rows(1, 5, FULL))


def test_sizes_below_one_are_refused_by_name(make_config):
    with pytest.raises(InvalidRequest, match="batch_size=0"):
        ContiguousCache(make_config(), batch_size=0)
    with pytest.raises(InvalidRequest, match="capacity=0"):
        ContiguousCache(make_config(), capacity=0)


def test_put_writes_in_place_without_copying_what_is_held(make_config):
    cache = ContiguousCache(make_config())
    first, _ = cache.put(FULL, *rows(1, 3, FULL))
    second, _ = cache.put(FULL, *rows(1, 3, FULL, 9))
    assert first.data_ptr() == second.data_ptr()


def test_gradients_pass_from_later_rows_to_the_held_tokens(make_config):
    cache = AutogradCache(make_config())
    keys, values = (part.clone().requires_grad_() for part in rows(2, 3, FULL))
    cache.put(FULL, keys, values)
    cache.advance(3)
    seen, _ = cache.put(FULL, *rows(2, 2, FULL, 3))
    seen.sum().backward()
    assert torch.equal(keys.grad, torch.ones_like(keys))


def test_the_first_requests_of_a_cache_are_cut_off_from_its_graph(make_config):
    cache = AutogradCache(make_config())
    keys, values = (part.clone().requires_grad_() for part in rows(3, 2, FULL))
    cache.put(FULL, keys, values)
    cache.advance(2)
    seen, _ = cache.first(2).put(FULL, *rows(2, 1, FULL, 2))
    assert seen.shape[:2] == (2, 3)
    assert not seen.requires_grad


def test_a_cache_written_in_place_refuses_rows_that_want_gradients(make_config):
    keys, values = rows(1, 2, FULL)
    with pytest.raises(AssertionError, match="AutogradCache"):
        ContiguousCache(make_config()).put(FULL, keys.clone().requires_grad_(), values)
