"""Fields of a request body -> SamplingParams, one per choice, and the names of those that do nothing here."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from redraft.config import SamplingParams
from redraft.constraints.spec import Constraint
from redraft.errors import InvalidRequest
from redraft.server.exchange import DraftWish
from redraft.server.schema import DiffusionOptions, Sampling

SEED_BITS = 53  # a drawn seed is echoed, and a script's numbers hold no more
_SAMPLING = ("temperature", "top_p", "top_k", "min_tokens", "stop", "stop_token_ids")
_NOT_UNDER_CONSTRAINT = ("stop", "top_p", "top_k")
_NOT_SAMPLING = ("draft", "draft_interval")
# Fields that clients send by habit, with the values that ask for nothing.
_NEUTRAL: Mapping[str, Sequence[Any]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "metadata": ({},),
    "modalities": (["text"],),
    "best_of": (1,),
    "verbosity": ("medium",),
    "cache_prompt": (True, False),
    "strict": (True, False),
    "diffusing": (False,),
    "diffusion.draft": ("off",),
}
_ONLY_IN_STREAMS = ("stream_options", "diffusing")
_PENALTIES = ("frequency_penalty", "presence_penalty", "repetition_penalty")


def sampling_params(
    body: Sampling, *, max_tokens: int | None, constraint: Constraint | None = None, **more: Any
) -> tuple[list[SamplingParams], list[str]]:
    """Params of each of the body's `n` choices (seeds `seed` to `seed + n - 1`), and warnings."""
    warnings = ignored(body)
    values: dict[str, Any] = {name: getattr(body, name) for name in _SAMPLING}
    if constraint is not None:
        for name in _NOT_UNDER_CONSTRAINT:
            if values[name]:
                warnings.append(f"{name} is not used: the reply is constrained")
            values[name] = None
    values["logit_bias"] = {int(key): bias for key, bias in (body.logit_bias or {}).items()} or None
    values["ignore_eos"] = bool(body.ignore_eos)
    values |= diffusion_fields(body.diffusion)
    params = SamplingParams(max_tokens=max_tokens, constraint=constraint, **values, **more)
    seed = first_seed(body.seed, body.temperature)
    count = body.n or 1
    if seed + count > 2**64:
        raise InvalidRequest(f"seed={seed} and n={count}: seeds up to seed + n - 1 want to be below 2**64")
    return [replace(params, seed=seed + i) for i in range(count)], warnings


def first_seed(seed: int | None, temperature: float | None) -> int:
    """The seed that was given, else the one that is drawn, and echoed; 0 where nothing is drawn."""
    if seed is not None:
        return seed
    return 0 if temperature == 0 else secrets.randbits(SEED_BITS)


def diffusion_fields(options: DiffusionOptions | None) -> dict[str, Any]:
    """Those of our own fields that are SamplingParams, if set."""
    if options is None:
        return {}
    return {name: value for name, value in options if name not in _NOT_SAMPLING and value is not None}


def draft_wish(options: DiffusionOptions | None) -> DraftWish:
    if options is None:
        return DraftWish()
    interval = DraftWish.interval if options.draft_interval is None else options.draft_interval
    return DraftWish(mode=options.draft or "off", interval=interval)


def ignored(body: BaseModel) -> list[str]:
    """A warning for each field, at the top of the body, that has no effect here and asks for one."""
    unknown = dict(body.model_extra or {})
    known = {name: getattr(body, name) for name in _PENALTIES if hasattr(body, name)}
    if not getattr(body, "stream", None):
        known |= {name: getattr(body, name, None) for name in _ONLY_IN_STREAMS}
        options = getattr(body, "diffusion", None)
        known |= {f"diffusion.{name}": getattr(options, name, None) for name in _NOT_SAMPLING}
    return [
        f"{name[:80]} has no effect here"
        for name, value in {**known, **unknown}.items()
        if value is not None and value not in _NEUTRAL.get(name, ())
    ]
