"""Frozen configs: what a model is, what a request asks for, how an engine is set up. No torch here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from redraft.errors import InvalidRequest

MAX_STOP_STRINGS = 64
PREFILL_CHUNK = 256  # encoding is cut at multiples of this position, so how tokens are fed changes nothing

BAN_BIAS = -100.0  # logit_bias at or below this bans the id


@dataclass(frozen=True, kw_only=True)
class LayerConfig:
    """One layer of the stack."""

    is_sliding: bool  # sliding-window attention; else full attention
    num_kv_heads: int
    head_dim: int
    shares_kv: bool  # V is the raw k_proj output (K=V layers carry no v_proj)
    rope_theta: float
    rope_fraction: float  # share of the rotary pairs that turn; the rest have frequency 0


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything the forward pass needs to know about a checkpoint."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int  # dense branch
    moe_intermediate_size: int  # one expert
    num_experts: int
    num_experts_per_token: int
    num_heads: int  # query heads, every layer
    layers: tuple[LayerConfig, ...]
    sliding_window: int  # a query sees itself and the window - 1 tokens before it
    rms_norm_eps: float
    logit_softcap: float
    canvas_length: int
    max_position_embeddings: int
    pad_token_id: int
    bos_token_id: int
    eos_token_ids: tuple[int, ...]

    @property
    def num_layers(self) -> int:
        return len(self.layers)


@dataclass(frozen=True, kw_only=True)
class GenerationDefaults:
    """What a checkpoint's generation_config.json sets; None where it is silent."""

    max_tokens: int | None = None
    max_denoising_steps: int | None = None
    entropy_bound: float | None = None
    t_max: float | None = None
    t_min: float | None = None
    stability_threshold: int | None = None
    confidence_threshold: float | None = None
    restart_after: int | None = None
    eos_token_ids: tuple[int, ...] | None = None


# Used where neither the caller nor the checkpoint says anything (the released checkpoint's values).
_BUILT_IN = {
    "max_tokens": 256,
    "max_denoising_steps": 48,
    "entropy_bound": 0.1,
    "t_max": 0.8,
    "t_min": 0.4,
    "stability_threshold": 1,
    "confidence_threshold": 0.005,
    "restart_after": None,
    "temperature": 1.0,
}
_DIFFUSION_FIELDS = (
    "max_denoising_steps",
    "entropy_bound",
    "t_max",
    "t_min",
    "stability_threshold",
    "confidence_threshold",
    "restart_after",
    "canvas_length",
)
# field: (kind, range in words, test)
_NUMBERS = {
    "max_tokens": (Integral, "an integer >= 1", lambda x: x >= 1),
    "min_tokens": (Integral, "an integer >= 0", lambda x: x >= 0),
    "seed": (Integral, "an integer from 0 to 2**64 - 1", lambda x: 0 <= x < 2**64),
    "temperature": (Real, "a number from 0 to 2", lambda x: 0 <= x <= 2),
    "max_denoising_steps": (Integral, "an integer >= 1", lambda x: x >= 1),
    "entropy_bound": (Real, "a number > 0", lambda x: x > 0),
    "t_max": (Real, "a finite number > t_min", lambda x: 0 < x < math.inf),
    "t_min": (Real, "a number > 0 and < t_max", lambda x: 0 < x < math.inf),
    "stability_threshold": (Integral, "an integer >= 1", lambda x: x >= 1),
    "confidence_threshold": (Real, "a number >= 0", lambda x: x >= 0),
    "restart_after": (Integral, "an integer >= 1", lambda x: x >= 1),
    "canvas_length": (Integral, "an integer from 1 to the checkpoint's canvas length", lambda x: x >= 1),
    "top_k": (Integral, "an integer >= 1", lambda x: x >= 1),
    "top_p": (Real, "a number > 0 and <= 1", lambda x: 0 < x <= 1),
    "logprobs": (Integral, "an integer >= 0", lambda x: x >= 0),
    "prompt_logprobs": (Integral, "an integer >= 0", lambda x: x >= 0),
    "deadline": (Real, "seconds > 0", lambda x: x > 0),
}


def range_of(name: str) -> str | None:
    """The range of a numeric sampling field in words; None for fields of other kinds."""
    return _NUMBERS[name][1] if name in _NUMBERS else None


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How one request is sampled; checked when made, so an instance is always in range.

    None means the checkpoint's generation_config.json, else the built-in default (`resolved` fills them in).
    Raises InvalidRequest naming the field, the value and the range.
    """

    max_tokens: int | None = None
    min_tokens: int | None = None
    seed: int | None = None
    temperature: float | None = None  # multiplies the temperature of the draw only
    decoding: str = "diffusion"
    max_denoising_steps: int | None = None
    entropy_bound: float | None = None  # nats
    t_max: float | None = None
    t_min: float | None = None
    stability_threshold: int | None = None
    confidence_threshold: float | None = None  # nats
    restart_after: int | None = None  # denoising steps, after which an unsettled canvas starts anew
    canvas_length: int | None = None
    top_k: int | None = None
    top_p: float | None = None
    logit_bias: Mapping[int, float] | None = None
    stop: Sequence[str] | None = None
    stop_token_ids: Sequence[int] | None = None
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    deadline: float | None = None  # seconds from submission
    record_trace: bool = False
    constraint: Any = None

    def __post_init__(self):
        for name, (kind, wanted, test) in _NUMBERS.items():
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, kind) or not test(value):
                raise InvalidRequest(f"{name}={value!r}: want {wanted}")
        _check_temperatures(self.t_min, self.t_max)
        if self.decoding not in ("diffusion", "autoregressive"):
            raise InvalidRequest(f"decoding={self.decoding!r}: want 'diffusion' or 'autoregressive'")
        for name in ("ignore_eos", "record_trace"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidRequest(f"{name}={getattr(self, name)!r}: want True or False")
        object.__setattr__(self, "stop", _stop_strings(self.stop))
        object.__setattr__(self, "stop_token_ids", _token_ids("stop_token_ids", self.stop_token_ids))
        object.__setattr__(self, "logit_bias", _logit_bias(self.logit_bias))
        if self.decoding == "autoregressive":
            self._refuse_together("decoding='autoregressive'", _DIFFUSION_FIELDS)
        if self.constraint is not None:
            self._refuse_together("a constraint", ("stop", "ignore_eos", "top_k", "top_p", "min_tokens"))

    def _refuse_together(self, reason: str, names: Sequence[str]) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and value is not False:
                raise InvalidRequest(f"{name}={value!r} cannot be used with {reason}: leave it out")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SamplingParams":
        """Params from a JSON object; an unknown name raises InvalidRequest with the names there are."""
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise InvalidRequest(f"{name!r} is no sampling parameter: want one of {', '.join(known)}")
        bias = values.get("logit_bias")
        if isinstance(bias, Mapping):  # JSON has no other keys than strings
            values = {**values, "logit_bias": {_number_or_same(key): value for key, value in bias.items()}}
        return cls(**values)

    def resolved(self, defaults: GenerationDefaults, min_tokens: int = 1) -> "SamplingParams":
        """The same params with every None that has a default filled in.

        `min_tokens` is the caller's default: 1 in the engine, 0 in generate_plain and under a constraint.
        """
        filled: dict[str, Any] = {}
        for name, built_in in _BUILT_IN.items():
            if getattr(self, name) is None:
                from_checkpoint = getattr(defaults, name, None)
                filled[name] = built_in if from_checkpoint is None else from_checkpoint
        if self.min_tokens is None:
            filled["min_tokens"] = min_tokens
        _check_temperatures(filled.get("t_min", self.t_min), filled.get("t_max", self.t_max))
        if self.decoding == "autoregressive":
            filled = {name: value for name, value in filled.items() if name not in _DIFFUSION_FIELDS}
        # A filled-in min_tokens is not the explicit one that a constraint refuses.
        bare = replace(self, constraint=None, **filled)
        object.__setattr__(bare, "constraint", self.constraint)
        return bare

    def as_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; fields that are unset are left out."""
        values: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or value == field.default:
                continue
            if isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, Mapping):
                value = {str(key): item for key, item in value.items()}
            elif field.name == "constraint":
                value = repr(value)
            values[field.name] = value
        return values


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How an engine is set up; None means: decided when the model is loaded, and reported by `redraft check`."""

    device: str = "auto"
    dtype: str = "auto"  # "float32" | "bfloat16"; auto: float32 on CPU, bfloat16 on CUDA
    kernels: str = "auto"  # "native" | "torch"; auto: native on a CPU where it can be built
    max_batch: int = 8  # requests in one engine step
    max_context: int | None = None  # prompt plus whole canvases, tokens; None: the checkpoint's own
    cache_memory: int | None = None  # bytes for the KV cache
    prefill_chunks: int | None = None  # of one prompt in one engine step; None: 1 on CPU, 4 on CUDA
    fold_commits: bool | None = None  # into the first denoising step of the next canvas; None: on CUDA only

    def __post_init__(self):
        for name in ("max_batch", "max_context", "cache_memory", "prefill_chunks"):
            value = getattr(self, name)
            if value is None and name != "max_batch":
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise InvalidRequest(f"{name}={value!r}: want an integer >= 1")
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise InvalidRequest(f"dtype={self.dtype!r}: want 'auto', 'float32' or 'bfloat16'")
        check_kernels(self.kernels)


def check_kernels(kernels: str) -> None:
    """Raises InvalidRequest where there are no such kernels."""
    if kernels not in ("auto", "native", "torch"):
        raise InvalidRequest(f"kernels={kernels!r}: want 'auto', 'native' or 'torch'")


def _check_temperatures(t_min: float | None, t_max: float | None) -> None:
    if t_min is not None and t_max is not None and not t_min < t_max:
        raise InvalidRequest(f"t_min={t_min!r}, t_max={t_max!r}: want t_min < t_max")


def _stop_strings(stop: Any) -> tuple[str, ...] | None:
    if stop is None:
        return None
    if isinstance(stop, str):
        stop = (stop,)
    if not isinstance(stop, Sequence) or not all(isinstance(s, str) and s for s in stop):
        raise InvalidRequest(f"stop={stop!r}: want non-empty strings")
    if len(stop) > MAX_STOP_STRINGS:
        raise InvalidRequest(f"stop has {len(stop)} strings: want at most {MAX_STOP_STRINGS}")
    return tuple(stop) or None


def _token_ids(name: str, ids: Any) -> tuple[int, ...] | None:
    if ids is None:
        return None
    is_list = isinstance(ids, Sequence) and not isinstance(ids, str)
    if not is_list or not all(isinstance(i, Integral) and not isinstance(i, bool) and int(i) >= 0 for i in ids):
        raise InvalidRequest(f"{name}={ids!r}: want a list of token ids (integers >= 0)")
    return tuple(int(i) for i in ids)


def _number_or_same(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdecimal() else key


def _logit_bias(bias: Any) -> Mapping[int, float] | None:
    if bias is None:
        return None
    if not isinstance(bias, Mapping):
        raise InvalidRequest(f"logit_bias={bias!r}: want a mapping from token id to bias")
    for token, value in bias.items():
        if isinstance(token, bool) or not isinstance(token, Integral) or token < 0:
            raise InvalidRequest(f"logit_bias has the key {token!r}: want a token id (an integer >= 0)")
        if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value) or value == math.inf:
            raise InvalidRequest(f"logit_bias[{token}]={value!r}: want a number (-100 and below bans)")
    return MappingProxyType({int(token): float(value) for token, value in bias.items()}) or None
