import json

import pytest

from redraft.checkpoint.config import (
    OWN_FILE,
    read_config,
    read_generation_defaults,
    write_config,
    write_generation_defaults,
    write_own_defaults,
)
from redraft.config import GenerationDefaults
from redraft.errors import InvalidRequest, LoadError


def put(directory, values, name="config.json"):
    (directory / name).write_text(json.dumps(values))
    return directory


@pytest.fixture
def written(make_config):
    return write_config(make_config(), "float32", {})


def test_what_is_written_is_read_back(make_config, written, tmp_path):
    assert read_config(put(tmp_path, written)) == make_config()


def test_the_published_encoding_reads_like_the_per_layer_one(make_config, written, tmp_path):
    text = written["text_config"]
    assert text.pop("per_layer_config") == {i: {"head_dim": 16, "num_key_value_heads": 1} for i in ("1", "3")}
    text |= {"global_head_dim": 16, "num_global_key_value_heads": 1}
    assert read_config(put(tmp_path, written)) == make_config()


def test_full_layers_keep_the_common_number_of_heads_where_nothing_else_is_said(written, tmp_path):
    del written["text_config"]["per_layer_config"]
    written["text_config"]["global_head_dim"] = 16
    assert read_config(put(tmp_path, written)).layers[1].num_kv_heads == 2


def test_keys_left_out_mean_what_they_mean_to_transformers(written, tmp_path):
    for key in ("sliding_window", "rms_norm_eps", "rope_parameters", "layer_types", "per_layer_config"):
        del written["text_config"][key]
    config = read_config(put(tmp_path, written))
    assert (config.sliding_window, config.rms_norm_eps) == (512, 1e-6)
    assert [layer.is_sliding for layer in config.layers] == [True, True, True, False]
    assert (config.layers[3].head_dim, config.layers[3].rope_theta, config.layers[3].rope_fraction) == (512, 1e6, 0.25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gemma4"}, "model_type is 'gemma4'"),
        ({"text_config": None}, "text_config is None"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"canvas_length": 0}, "canvas_length is 0"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
    ],
)
def test_a_config_we_do_not_run_is_refused_by_key_and_value(written, tmp_path, change, message):
    with pytest.raises(LoadError, match=message):
        read_config(put(tmp_path, {**written, **change}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "big"}, "hidden_size is 'big': want an integer"),
        ({"num_experts": None}, "num_experts is None"),
        ({"top_k_experts": 9}, "top_k_experts is 9: want at most num_experts"),
        ({"hidden_activation": "silu"}, "hidden_activation is 'silu'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention is 'all'"),
        ({"final_logit_softcapping": None}, "final_logit_softcapping is None"),
        ({"layer_types": ["full_attention"] * 3}, "layer_types"),
        ({"layer_types": ["sliding_attention"] * 4}, "layer_types"),
        ({"num_key_value_heads": 3}, "num_key_value_heads is 3: want a divisor"),
        ({"head_dim": 7}, "head_dim is 7: want an even integer"),
        ({"eos_token_id": "x"}, "eos_token_id is 'x'"),
        ({"per_layer_config": {"1": {"window": 3}}}, "per_layer_config.1 sets"),
        ({"rope_parameters": {"sliding_attention": {"rope_type": "yarn"}}}, "rope_parameters.sliding_attention"),
        ({"rope_parameters": {"sliding_attention": {"rope_type": "default", "factor": 2.0}}}, "factor is 2.0"),
        ({"rope_parameters": {"sliding_attention": {"partial_rotary_factor": 0.5}}}, "partial_rotary_factor is 0.5"),
    ],
)
def test_an_unusable_text_config_is_refused_by_key_and_value(written, tmp_path, change, message):
    written["text_config"] |= change
    with pytest.raises(LoadError, match=message):
        read_config(put(tmp_path, written))


def test_a_missing_or_broken_config_is_refused_with_its_path(tmp_path):
    with pytest.raises(LoadError, match=r"has no config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(LoadError, match=r"config\.json cannot be read"):
        read_config(tmp_path)


def test_end_ids_of_the_whole_config_come_before_those_of_its_text_part(written, tmp_path):
    assert read_config(put(tmp_path, {**written, "eos_token_id": [1, 50]})).eos_token_ids == (1, 50)


def test_layers_the_format_cannot_tell_apart_are_refused(make_config):
    sliding, full = make_config().layers[:2]
    with pytest.raises(InvalidRequest, match="last layer"):
        write_config(make_config(layers=(full, sliding)), "float32", {})
    other = type(full)(**{**vars(full), "head_dim": 32})
    with pytest.raises(InvalidRequest, match="full_attention layers"):
        write_config(make_config(layers=(full, other)), "float32", {})


def test_generation_defaults_come_back_as_written(make_config, tmp_path):
    defaults = GenerationDefaults(
        max_tokens=82,
        max_denoising_steps=48,
        entropy_bound=0.1,
        t_max=0.8,
        t_min=0.4,
        stability_threshold=1,
        confidence_threshold=0.005,
        eos_token_ids=(1, 50),
    )
    put(tmp_path, write_generation_defaults(defaults, make_config()), "generation_config.json")
    assert read_generation_defaults(tmp_path) == defaults


def test_what_transformers_does_not_know_has_a_file_of_its_own(make_config, tmp_path):
    defaults = GenerationDefaults(max_tokens=82, restart_after=12, eos_token_ids=(1,))
    put(tmp_path, write_generation_defaults(defaults, make_config()), "generation_config.json")
    assert read_generation_defaults(tmp_path) == GenerationDefaults(max_tokens=82, eos_token_ids=(1,))
    put(tmp_path, write_own_defaults(defaults), OWN_FILE)
    assert read_generation_defaults(tmp_path) == defaults
    put(tmp_path, {"restart_after": 0}, OWN_FILE)
    with pytest.raises(LoadError, match=f"{OWN_FILE}: restart_after is 0: want an integer >= 1"):
        read_generation_defaults(tmp_path)
    assert write_own_defaults(GenerationDefaults()) == {}


def test_a_flat_entropy_bound_is_read_too(tmp_path):
    put(tmp_path, {"entropy_bound": 0.3, "sampler_config": None, "eos_token_id": 1}, "generation_config.json")
    assert read_generation_defaults(tmp_path) == GenerationDefaults(entropy_bound=0.3, eos_token_ids=(1,))


def test_nulls_and_a_missing_file_set_nothing(tmp_path):
    assert read_generation_defaults(tmp_path) == GenerationDefaults()
    put(tmp_path, {"max_new_tokens": None, "t_min": None, "eos_token_id": None}, "generation_config.json")
    assert read_generation_defaults(tmp_path) == GenerationDefaults()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"t_max": "hot"}, "t_max is 'hot'"),
        ({"sampler_config": {"_cls_name": "Other"}}, "sampler_config"),
        ({"sampler_config": {"entropy_bound": -1}}, "entropy_bound is -1"),
    ],
)
def test_a_generation_config_out_of_range_is_refused_by_key(tmp_path, values, message):
    put(tmp_path, values, "generation_config.json")
    with pytest.raises(LoadError, match=message):
        read_generation_defaults(tmp_path)
