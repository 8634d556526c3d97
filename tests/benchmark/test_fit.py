from dataclasses import replace

import pytest

from redraft.benchmark.fit import RELEASED, config_of, fit, num_parameters, released_config
from redraft.errors import LoadError


@pytest.fixture(scope="module")
def released():
    return released_config()


def test_the_released_text_model_has_25_3_billion_parameters(released):
    assert num_parameters(released) == pytest.approx(25.25e9, rel=2e-3)


def test_the_released_config_needs_no_download():
    assert config_of(RELEASED) == config_of(f"{RELEASED}@main") == released_config()


def test_a_directory_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(LoadError, match=r"config\.json"):
        config_of(str(tmp_path))


def test_a_card_of_80_gb_holds_the_released_model_in_bf16_and_not_in_fp32(released):
    assert fit(released, 80 * 10**9, "bfloat16").fits
    assert not fit(released, 80 * 10**9, "float32").fits


def test_the_context_fills_what_weights_and_a_step_leave(released):
    one = fit(released, 54 * 10**9, "bfloat16")
    room = 54 * 10**9 - one.weights - one.working - one.cache_of_window
    assert one.context % released.canvas_length == 0
    assert one.context * one.cache_per_token <= room < (one.context + released.canvas_length) * one.cache_per_token


def test_a_context_within_the_window_pays_for_every_layer(released):
    memory = fit(released, 0, "bfloat16").weights + fit(released, 0, "bfloat16").working + 200 * 10**6
    per_token = 2 * (102_400 + 10_240)
    assert fit(released, memory, "bfloat16").context == 200 * 10**6 // per_token // 256 * 256


def test_the_context_stops_at_the_checkpoints_own(released):
    short = replace(released, max_position_embeddings=1000)
    assert fit(short, 10**12, "bfloat16").context == 768


def test_memory_for_weights_alone_is_not_a_fit(released):
    one = fit(released, fit(released, 0, "bfloat16").weights, "bfloat16")
    assert (one.fits, one.context) == (False, 0)
