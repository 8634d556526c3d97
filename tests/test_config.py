"""SamplingParams and EngineConfig: every range, every refusal, every default."""

import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from redraft.config import EngineConfig, GenerationDefaults, SamplingParams, range_of
from redraft.errors import InvalidRequest

# field: (values inside the range, edges included; values outside)
RANGES = {
    "max_tokens": ([1, 10**6], [0, -1, 1.5, "8", True]),
    "min_tokens": ([0, 1, 64], [-1, 0.5, "1", False]),
    "seed": ([0, 7, 2**64 - 1], [-1, 2**64, 1.0, "x", True]),
    "temperature": ([0, 0.0, 1, 2.0], [-0.1, 2.01, math.nan, math.inf, "1"]),
    "max_denoising_steps": ([1, 48], [0, -3, 4.0, True]),
    "entropy_bound": ([1e-9, 0.1, 5], [0, -0.1, math.nan, "0.1"]),
    "t_max": ([0.8, 3], [0, -1, math.nan, math.inf, True]),
    "t_min": ([1e-6, 0.4], [0, -1.0, math.nan, math.inf]),
    "stability_threshold": ([1, 9], [0, 1.0, -1]),
    "confidence_threshold": ([0, 0.005, 3], [-0.001, math.nan, "0"]),
    "restart_after": ([1, 16], [0, -1, 2.0, True]),
    "canvas_length": ([1, 256], [0, -1, 8.0]),
    "top_k": ([1, 40], [0, -1, 2.0, True]),
    "top_p": ([1e-6, 0.9, 1, 1.0], [0, -0.1, 1.5, math.nan]),
    "logprobs": ([0, 5], [-1, 1.0, True]),
    "prompt_logprobs": ([0, 5], [-1, "1"]),
    "deadline": ([0.5, 60], [0, -1, math.nan, "1"]),
}
INSIDE = [(name, value) for name, (inside, _) in RANGES.items() for value in inside]
OUTSIDE = [(name, value) for name, (_, outside) in RANGES.items() for value in outside]


@pytest.mark.parametrize(("name", "value"), INSIDE)
def test_a_value_in_range_is_kept_as_given(name, value):
    assert getattr(SamplingParams(**{name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), OUTSIDE)
def test_a_value_out_of_range_is_refused_with_field_value_and_range(name, value):
    with pytest.raises(InvalidRequest) as error:
        SamplingParams(**{name: value})
    assert str(error.value).startswith(f"{name}={value!r}: want ")


def test_every_number_field_has_a_range_tested_here():
    numbers = {field.name for field in fields(SamplingParams) if field.type in (int | None, float | None)}
    assert numbers == set(RANGES)


def test_every_range_can_be_said_in_words():
    assert all(range_of(name) for name in RANGES)
    assert range_of("stop") is None


def test_params_are_frozen_and_keyword_only():
    with pytest.raises(FrozenInstanceError):
        SamplingParams().seed = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        SamplingParams(8)  # type: ignore[misc]


def test_an_unknown_keyword_raises():
    with pytest.raises(TypeError, match="entropy_bond"):
        SamplingParams(entropy_bond=0.1)  # type: ignore[call-arg]


def test_from_dict_names_the_unknown_field_and_the_known_ones():
    with pytest.raises(InvalidRequest, match=r"'entropy_bond'.*entropy_bound"):
        SamplingParams.from_dict({"entropy_bond": 0.1})


def test_from_dict_gives_the_same_params_as_keywords():
    assert SamplingParams.from_dict({"seed": 3, "stop": ["x"]}) == SamplingParams(seed=3, stop=["x"])


def test_from_dict_reads_the_ids_of_logit_bias_as_json_writes_them():
    params = SamplingParams(logit_bias={5: -1.0})
    assert SamplingParams.from_dict(params.as_dict()) == params
    with pytest.raises(InvalidRequest, match="logit_bias has the key 'x'"):
        SamplingParams.from_dict({"logit_bias": {"x": 1}})


def test_t_min_must_lie_below_t_max():
    assert SamplingParams(t_min=0.3, t_max=0.31).t_max == 0.31
    for t_min, t_max in ((0.5, 0.5), (0.8, 0.4)):
        with pytest.raises(InvalidRequest, match="t_min < t_max"):
            SamplingParams(t_min=t_min, t_max=t_max)


def test_decoding_is_one_of_two_words():
    assert SamplingParams(decoding="autoregressive").decoding == "autoregressive"
    with pytest.raises(InvalidRequest, match="decoding='greedy'"):
        SamplingParams(decoding="greedy")


@pytest.mark.parametrize("name", ["ignore_eos", "record_trace"])
def test_a_switch_takes_only_true_or_false(name):
    assert getattr(SamplingParams(**{name: True}), name) is True
    with pytest.raises(InvalidRequest, match=f"{name}=1: want True or False"):
        SamplingParams(**{name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_denoising_steps", 4),
        ("entropy_bound", 0.2),
        ("t_max", 0.9),
        ("t_min", 0.2),
        ("stability_threshold", 2),
        ("confidence_threshold", 0.0),
        ("restart_after", 8),
        ("canvas_length", 16),
    ],
)
def test_diffusion_fields_are_refused_with_autoregressive_decoding(name, value):
    with pytest.raises(InvalidRequest, match=rf"{name}=.*decoding='autoregressive'"):
        SamplingParams(decoding="autoregressive", **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("stop", ["x"]), ("ignore_eos", True), ("top_k", 5), ("top_p", 0.5), ("min_tokens", 0), ("min_tokens", 2)],
)
def test_options_that_fight_a_constraint_are_refused_by_name(name, value):
    with pytest.raises(InvalidRequest, match=rf"{name}=.*a constraint"):
        SamplingParams(constraint=object(), **{name: value})


def test_stop_takes_one_string_or_many_and_nothing_empty():
    assert SamplingParams(stop="\n").stop == ("\n",)
    assert SamplingParams(stop=["a", "b"]).stop == ("a", "b")
    assert SamplingParams(stop=[]).stop is None
    for bad in ([""], ["a", 3], 7, {"a": 1}):
        with pytest.raises(InvalidRequest, match="stop="):
            SamplingParams(stop=bad)  # type: ignore[arg-type]


def test_sixty_four_stop_strings_pass_and_sixty_five_do_not():
    assert len(SamplingParams(stop=["x"] * 64).stop or ()) == 64
    with pytest.raises(InvalidRequest, match="65 strings: want at most 64"):
        SamplingParams(stop=["x"] * 65)


def test_stop_token_ids_are_whole_numbers_from_zero():
    assert SamplingParams(stop_token_ids=[0, 5]).stop_token_ids == (0, 5)
    for bad in ([-1], [1.5], ["1"], [True], 3, "12"):
        with pytest.raises(InvalidRequest, match="stop_token_ids="):
            SamplingParams(stop_token_ids=bad)  # type: ignore[arg-type]


def test_logit_bias_maps_ids_to_numbers():
    assert SamplingParams(logit_bias={3: -100, 4: 1.5}).logit_bias == {3: -100.0, 4: 1.5}
    assert SamplingParams(logit_bias={3: -math.inf}).logit_bias == {3: -math.inf}
    assert SamplingParams(logit_bias={}).logit_bias is None
    for bad in ([1], {-1: 0}, {"3": 0}, {True: 0}, {3: math.nan}, {3: math.inf}, {3: "1"}):
        with pytest.raises(InvalidRequest, match="logit_bias"):
            SamplingParams(logit_bias=bad)  # type: ignore[arg-type]


def test_resolved_fills_the_bracketed_defaults():
    filled = SamplingParams().resolved(GenerationDefaults())
    assert filled == SamplingParams(
        max_tokens=256,
        min_tokens=1,
        temperature=1.0,
        max_denoising_steps=48,
        entropy_bound=0.1,
        t_max=0.8,
        t_min=0.4,
        stability_threshold=1,
        confidence_threshold=0.005,
    )


def test_resolved_prefers_the_caller_then_the_checkpoint():
    defaults = GenerationDefaults(max_tokens=82, entropy_bound=0.3, t_max=1.5, restart_after=16)
    filled = SamplingParams(entropy_bound=0.2).resolved(defaults)
    assert (filled.max_tokens, filled.entropy_bound, filled.t_max, filled.restart_after) == (82, 0.2, 1.5, 16)
    assert SamplingParams(restart_after=5).resolved(defaults).restart_after == 5


def test_resolved_keeps_zeros_the_caller_gave():
    filled = SamplingParams(temperature=0, min_tokens=0, confidence_threshold=0).resolved(GenerationDefaults())
    assert (filled.temperature, filled.min_tokens, filled.confidence_threshold) == (0, 0, 0)


def test_resolved_refuses_a_t_min_above_the_checkpoints_t_max():
    with pytest.raises(InvalidRequest, match="t_min < t_max"):
        SamplingParams(t_min=0.5).resolved(GenerationDefaults(t_max=0.45))


def test_resolved_leaves_the_diffusion_fields_unset_for_autoregressive_decoding():
    filled = SamplingParams(decoding="autoregressive").resolved(GenerationDefaults(entropy_bound=0.3))
    assert filled == SamplingParams(decoding="autoregressive", max_tokens=256, min_tokens=1, temperature=1.0)


def test_resolved_keeps_the_constraint_and_gives_it_no_min_tokens_to_refuse():
    constraint = object()
    filled = SamplingParams(constraint=constraint).resolved(GenerationDefaults(), min_tokens=0)
    assert filled.constraint is constraint
    assert filled.min_tokens == 0


def test_resolved_leaves_a_missing_seed_to_the_engine():
    assert SamplingParams().resolved(GenerationDefaults()).seed is None


def test_as_dict_lists_what_was_set_as_plain_json_values():
    params = SamplingParams(seed=3, stop=["x"], logit_bias={5: -1.0}, ignore_eos=True)
    assert params.as_dict() == {"seed": 3, "stop": ["x"], "logit_bias": {"5": -1.0}, "ignore_eos": True}
    assert SamplingParams().as_dict() == {}


def test_replace_checks_the_new_value():
    with pytest.raises(InvalidRequest, match="max_tokens=0"):
        replace(SamplingParams(max_tokens=4), max_tokens=0)


@pytest.mark.parametrize("name", ["max_batch", "max_context", "cache_memory"])
def test_engine_sizes_are_whole_numbers_from_one(name):
    assert getattr(EngineConfig(**{name: 1}), name) == 1
    for bad in (0, -1, 1.5, "8", True):
        with pytest.raises(InvalidRequest, match=f"{name}={bad!r}"):
            EngineConfig(**{name: bad})


def test_an_engine_may_leave_context_and_memory_open_but_not_its_batch():
    assert EngineConfig(max_context=None, cache_memory=None).max_context is None
    with pytest.raises(InvalidRequest, match="max_batch=None"):
        EngineConfig(max_batch=None)  # type: ignore[arg-type]


def test_an_engine_dtype_is_one_of_three_words():
    assert EngineConfig(dtype="bfloat16").dtype == "bfloat16"
    with pytest.raises(InvalidRequest, match="dtype='float16'"):
        EngineConfig(dtype="float16")
