"""config.json and generation_config.json to and from our configs.

Two encodings of the per-layer sizes are in the wild and both are read: `global_head_dim` and
`num_global_key_value_heads` for all full layers (as published), and `per_layer_config` with the keys that differ, by
layer index (as transformers 5.23 writes it). We write the second.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redraft.checkpoint.reader import NOT_NEGATIVE, POSITIVE, Reader, is_number, is_whole, read_json, whole
from redraft.config import GenerationDefaults, LayerConfig, ModelConfig
from redraft.errors import InvalidRequest, LoadError

MODEL_TYPE = "diffusion_gemma"
IMAGE_ID_KEYS = ("boi_token_id", "eoi_token_id", "image_token_id")
_SLIDING, _FULL = "sliding_attention", "full_attention"
OWN_FILE = "redraft_config.json"  # sampling defaults that transformers has no name for
_SAMPLER = "EntropyBoundSamplerConfig"
_TEXT_KEYS = {  # published key: field of ModelConfig
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "moe_intermediate_size": "moe_intermediate_size",
    "num_experts": "num_experts",
    "top_k_experts": "num_experts_per_token",
    "num_attention_heads": "num_heads",
    "sliding_window": "sliding_window",
    "rms_norm_eps": "rms_norm_eps",
    "final_logit_softcapping": "logit_softcap",
    "max_position_embeddings": "max_position_embeddings",
    "pad_token_id": "pad_token_id",
    "bos_token_id": "bos_token_id",
}
_LAYER_KEYS = {"head_dim": "head_dim", "num_key_value_heads": "num_kv_heads"}
_NOT_SIZES = ("rms_norm_eps", "final_logit_softcapping", "pad_token_id", "bos_token_id")
# What a key that is left out means to transformers 5.23 (its class defaults, not the released checkpoint's values).
_LEFT_OUT = {
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6,
    "sliding_window": 512,
    "final_logit_softcapping": 30.0,
    "hidden_activation": "gelu_pytorch_tanh",
    "global_head_dim": 512,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "rope_parameters": {
        _SLIDING: {"rope_type": "default", "rope_theta": 10_000.0},
        _FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0},
    },
}
# A value other than these means arithmetic we do not run.
_REQUIRED_VALUES = {
    "hidden_activation": ("gelu_pytorch_tanh",),
    "attention_bias": (False, None),
    "tie_word_embeddings": (True, None),
    "use_bidirectional_attention": ("vision", None),
    "quantization_config": (None,),
}


def read_config(directory: Path) -> ModelConfig:
    """The model's config from config.json; LoadError names the key, its value and what we run."""
    path = directory / "config.json"
    values = read_json(path)
    if values.get("model_type") != MODEL_TYPE:
        raise LoadError(f"{path}: model_type is {values.get('model_type')!r}: want {MODEL_TYPE!r}")
    text = values.get("text_config")
    if not isinstance(text, dict):
        raise LoadError(f"{path}: text_config is {text!r}: want an object")
    for key, wanted in _REQUIRED_VALUES.items():
        for level in (values, text):
            if level.get(key, wanted[0]) not in wanted:
                raise LoadError(f"{path}: {key} is {level[key]!r}: want {wanted[0]!r}")
    return _model_config(Reader(path, values, {}), Reader(path, text, _LEFT_OUT))


def write_config(config: ModelConfig, dtype: str, vision_config: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of config.json. Layers of one kind must be equal and the last one full: the format says no more."""
    kinds = {
        kind: {layer for layer in config.layers if layer.is_sliding == (kind == _SLIDING)} for kind in (_SLIDING, _FULL)
    }
    kinds = {kind: layers for kind, layers in kinds.items() if layers}
    layer_types = [_SLIDING if layer.is_sliding else _FULL for layer in config.layers]
    for kind, layers in kinds.items():
        if len(layers) > 1 or any(layer.shares_kv == layer.is_sliding for layer in layers):
            raise InvalidRequest(
                f"{kind} layers {sorted(map(str, layers))}: want one kind, with K=V in full layers only"
            )
    if layer_types[-1] != _FULL:
        raise InvalidRequest(f"the last layer is {layer_types[-1]}: want {_FULL}")
    (full,) = kinds[_FULL]
    (base,) = kinds.get(_SLIDING, kinds[_FULL])
    own = {key: getattr(full, ours) for key, ours in _LAYER_KEYS.items() if getattr(full, ours) != getattr(base, ours)}
    text = {theirs: getattr(config, ours) for theirs, ours in _TEXT_KEYS.items()}
    text |= {
        "model_type": "diffusion_gemma_text",
        "num_hidden_layers": config.num_layers,
        "layer_types": layer_types,
        **{key: getattr(base, ours) for key, ours in _LAYER_KEYS.items()},
        "per_layer_config": {str(i): own for i, kind in enumerate(layer_types) if kind == _FULL and own},
        "rope_parameters": {kind: _rope(layer) for kind, (layer,) in kinds.items()},
        "eos_token_id": list(config.eos_token_ids),
        "hidden_activation": "gelu_pytorch_tanh",
        "use_bidirectional_attention": "vision",
        "tie_word_embeddings": True,
    }
    return {
        "architectures": ["DiffusionGemmaForBlockDiffusion"],
        "model_type": MODEL_TYPE,
        "dtype": dtype,
        "canvas_length": config.canvas_length,
        "tie_word_embeddings": True,
        # Ids that no text can hold: null breaks transformers' generate, and its defaults are ordinary ids for some.
        **{key: config.vocab_size + i for i, key in enumerate(IMAGE_ID_KEYS)},
        "text_config": text,
        "vision_config": dict(vision_config),
    }


def read_generation_defaults(directory: Path) -> GenerationDefaults:
    """What generation_config.json sets: nested or flat bound, null and absent alike unset; no file: nothing set.

    What transformers would refuse in that file is in OWN_FILE.
    """
    path, own = directory / "generation_config.json", directory / OWN_FILE
    values = read_json(path) if path.is_file() else {}
    ours = Reader(own, read_json(own) if own.is_file() else {}, {})
    sampler = values.get("sampler_config") or {}
    if not isinstance(sampler, dict) or sampler.get("_cls_name", _SAMPLER) != _SAMPLER:
        raise LoadError(f"{path}: sampler_config is {sampler!r}: want {_SAMPLER!r}")
    flat = Reader(path, {**values, **{k: v for k, v in sampler.items() if v is not None}}, {})
    ids = flat.token_ids("eos_token_id")
    return GenerationDefaults(
        max_tokens=flat.optional("max_new_tokens", whole(1)),
        max_denoising_steps=flat.optional("max_denoising_steps", whole(1)),
        entropy_bound=flat.optional("entropy_bound", POSITIVE),
        t_max=flat.optional("t_max", POSITIVE),
        t_min=flat.optional("t_min", POSITIVE),
        stability_threshold=flat.optional("stability_threshold", whole(1)),
        confidence_threshold=flat.optional("confidence_threshold", NOT_NEGATIVE),
        restart_after=ours.optional("restart_after", whole(1)),
        eos_token_ids=ids or None,
    )


def write_generation_defaults(defaults: GenerationDefaults, config: ModelConfig) -> dict[str, Any]:
    """The contents of generation_config.json: only keys transformers knows, nulls where unset, floats as floats."""

    def number(value: float | None) -> float | None:
        return None if value is None else float(value)

    bound = number(defaults.entropy_bound)
    return {
        "max_new_tokens": defaults.max_tokens,
        "max_denoising_steps": defaults.max_denoising_steps,
        "sampler_config": None if bound is None else {"_cls_name": _SAMPLER, "entropy_bound": bound},
        "t_max": number(defaults.t_max),
        "t_min": number(defaults.t_min),
        "stability_threshold": defaults.stability_threshold,
        "confidence_threshold": number(defaults.confidence_threshold),
        "eos_token_id": list(defaults.eos_token_ids or config.eos_token_ids),
        "bos_token_id": config.bos_token_id,
        "pad_token_id": config.pad_token_id,
    }


def write_own_defaults(defaults: GenerationDefaults) -> dict[str, Any]:
    """The contents of OWN_FILE; empty where none is needed."""
    return {} if defaults.restart_after is None else {"restart_after": defaults.restart_after}


def _model_config(top: Reader, text: Reader) -> ModelConfig:
    sizes = {ours: text.required(theirs, whole(1)) for theirs, ours in _TEXT_KEYS.items() if theirs not in _NOT_SIZES}
    if sizes["num_experts_per_token"] > sizes["num_experts"]:
        raise LoadError(f"{text.path}: top_k_experts is {sizes['num_experts_per_token']}: want at most num_experts")
    eos = top.token_ids("eos_token_id") or text.token_ids("eos_token_id")
    pad = text.optional("pad_token_id", whole(0))
    bos = text.optional("bos_token_id", whole(0))
    return ModelConfig(
        **sizes,
        rms_norm_eps=text.required("rms_norm_eps", POSITIVE),
        logit_softcap=text.required("final_logit_softcapping", POSITIVE),
        canvas_length=256 if "canvas_length" not in top.values else top.required("canvas_length", whole(1)),
        layers=_layers(text, sizes["num_heads"]),
        pad_token_id=pad if pad is not None else (eos or (0,))[0],
        bos_token_id=bos if bos is not None else (eos or (0,))[0],
        eos_token_ids=eos,
    )


def _layers(text: Reader, num_heads: int) -> tuple[LayerConfig, ...]:
    count = text.required("num_hidden_layers", whole(1))
    default_types = [_FULL if (i + 1) % 6 == 0 or i == count - 1 else _SLIDING for i in range(count)]
    types = text.values.get("layer_types") or default_types
    if len(types) != count or not set(types) <= {_SLIDING, _FULL} or types[-1] != _FULL:
        raise LoadError(
            f"{text.path}: layer_types is {types!r}: want {count} of {_SLIDING!r} and {_FULL!r}, the last {_FULL!r}"
        )
    overrides = text.values.get("per_layer_config")
    if overrides is None:
        published = {"head_dim": "global_head_dim", "num_key_value_heads": "num_global_key_value_heads"}
        own = {key: text.optional(theirs, whole(1)) for key, theirs in published.items()}
        own = {key: value for key, value in own.items() if value is not None}
        overrides = {str(i): own for i, kind in enumerate(types) if kind == _FULL}
    layers = []
    for index, kind in enumerate(types):
        own = overrides.get(str(index)) or {}
        unknown = set(own) - set(_LAYER_KEYS)
        if unknown:
            raise LoadError(f"{text.path}: per_layer_config.{index} sets {sorted(unknown)}: want {list(_LAYER_KEYS)}")
        layers.append(_layer(Reader(text.path, own, text.values), kind, num_heads))
    return tuple(layers)


def _layer(values: Reader, kind: str, num_heads: int) -> LayerConfig:
    head_dim = values.required("head_dim", ("an even integer >= 2", lambda x: is_whole(x, 2) and x % 2 == 0))
    num_kv_heads = values.required(
        "num_key_value_heads",
        (f"a divisor of num_attention_heads, {num_heads}", lambda x: is_whole(x, 1) and num_heads % x == 0),
    )
    rope = (values.values.get("rope_parameters") or _LEFT_OUT["rope_parameters"]).get(kind)
    if not isinstance(rope, dict) or rope.get("rope_type", "default") not in ("default", "proportional"):
        raise LoadError(
            f"{values.path}: rope_parameters.{kind} is {rope!r}: want rope_type 'default' or 'proportional'"
        )
    reader = Reader(values.path, rope, {"rope_theta": 10_000.0, "partial_rotary_factor": 1.0, "factor": 1.0})
    fraction = reader.required(
        "partial_rotary_factor", ("a number from 0 to 1", lambda x: is_number(x) and 0 <= x <= 1)
    )
    if rope.get("rope_type", "default") == "default" and fraction != 1:
        raise LoadError(f"{values.path}: partial_rotary_factor is {fraction!r} with rope_type 'default': want 1")
    reader.required("factor", ("1: scaled rotary embedding is not supported", lambda x: x == 1))
    return LayerConfig(
        is_sliding=kind == _SLIDING,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        shares_kv=kind == _FULL,
        rope_theta=float(reader.required("rope_theta", POSITIVE)),
        rope_fraction=float(fraction),
    )


def _rope(layer: LayerConfig) -> dict[str, Any]:
    if layer.is_sliding and layer.rope_fraction == 1:
        return {"rope_type": "default", "rope_theta": layer.rope_theta}
    return {
        "rope_type": "proportional",
        "rope_theta": layer.rope_theta,
        "partial_rotary_factor": layer.rope_fraction,
    }
