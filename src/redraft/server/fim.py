"""Infill in the dialects that editors speak: a text before, a text after, what goes between."""

import re
from dataclasses import replace
from typing import Any

from redraft.config import SamplingParams
from redraft.constraints.spec import Infill
from redraft.engine.engine import Engine
from redraft.engine.handle import Handle
from redraft.errors import InvalidRequest
from redraft.reply import Commit, Reply
from redraft.server.exchange import Exchange
from redraft.server.limits import Start
from redraft.server.openai import stream_fields
from redraft.server.params import diffusion_fields, draft_wish, first_seed, ignored, sampling_params
from redraft.server.schema import FimRequest, InfillRequest

# Markers that editors put in a prompt, for models trained on them: before the prefix, the suffix and the hole.
_MARKERS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("[PREFIX]", "[SUFFIX]", "[MIDDLE]"),
)
_NOT_USED = ("top_p", "top_k")  # in an infill: its texts are constrained
_CODESTRAL = re.compile(r"\[SUFFIX\](.*)\[PREFIX\](.*)", re.DOTALL)


class TextDialect:
    """`text_completion`: a choice is a `text`."""

    name = chunk_name = "text_completion"

    def choice(self, index: int, reply: Reply) -> dict[str, Any]:
        choice = self._text(index, reply.text, reply.finish_reason)
        return {**choice, "seed": reply.seed, **_holes(reply)}

    def opening(self, index: int) -> dict[str, Any] | None:
        return None

    def empty(self, index: int) -> dict[str, Any]:
        return self._text(index, "")

    def delta(self, index: int, commit: Commit) -> dict[str, Any] | None:
        return self._text(index, commit.text) if commit.text and commit.channel == "answer" else None

    def whole(self, index: int, text: str) -> dict[str, Any]:
        return self._text(index, text)

    def closing(self, index: int, reply: Reply) -> list[dict[str, Any]]:
        return [{**self._text(index, "", reply.finish_reason), "seed": reply.seed, **_holes(reply)}]

    def _text(self, index: int, text: str, finish_reason: str | None = None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


class FimDialect(TextDialect):
    """The same with a `message` and a `delta` beside the `text`: half of the clients read one, half the other."""

    def choice(self, index: int, reply: Reply) -> dict[str, Any]:
        return {**super().choice(index, reply), "message": {"role": "assistant", "content": reply.text}}

    def _text(self, index: int, text: str, finish_reason: str | None = None) -> dict[str, Any]:
        delta = {"role": "assistant", "content": text}
        return {**super()._text(index, text, finish_reason), "delta": delta}


def fill_starter(engine: Engine, before: str, after: str, params: SamplingParams) -> Start:
    used = replace(params, **dict.fromkeys(_NOT_USED))

    def start(wants_drafts: bool) -> Handle:
        return engine.fill_stream(Infill(before, after), used, wants_drafts)

    return start


def fill_warnings(params: SamplingParams) -> list[str]:
    """A warning for each field that `fill_starter` drops."""
    return [f"{name} is not used: an infill is constrained" for name in _NOT_USED if getattr(params, name) is not None]


def split_markers(prompt: str) -> tuple[str, str] | None:
    """(before, after) of a prompt that holds an editor's infill markers, None where it holds none."""
    for prefix, suffix, middle in _MARKERS:
        head, has_prefix, rest = prompt.partition(prefix)
        before, has_suffix, rest = rest.partition(suffix)
        after, has_middle, said = rest.rpartition(middle)
        if has_prefix and has_suffix and has_middle and not said.strip():
            return head + before, after
    match = _CODESTRAL.fullmatch(prompt)
    return None if match is None else (match[2], match[1])


def fim_exchange(body: FimRequest, name: str, engine: Engine, fingerprint: str) -> Exchange:
    """What an infill request asks of the engine; InvalidRequest names what cannot be done."""
    params, warnings = sampling_params(body, max_tokens=body.max_tokens)
    pair = (body.prompt, body.suffix) if body.suffix else split_markers(body.prompt) or (body.prompt, "")
    return Exchange(
        model=name,
        fingerprint=fingerprint,
        dialect=FimDialect(),
        starts=[fill_starter(engine, *pair, item) for item in params],
        compiles=True,
        num_per_prompt=len(params),
        warnings=[*warnings, *fill_warnings(params[0])],
        drafts=draft_wish(body.diffusion),
        **stream_fields(body),
    )


def infill_exchange(body: InfillRequest, name: str, engine: Engine, fingerprint: str) -> Exchange:
    """The same for llama.cpp's dialect, whose extra files go before the text.

    `n_predict` 0 is an editor's warm-up: one pass, so that the text before the cursor is in the prefix cache.
    """
    if body.stream:
        raise InvalidRequest("stream: /infill answers whole, want false; /v1/fim/completions streams")
    if body.seed is not None and not -1 <= body.seed < 2**64:
        raise InvalidRequest(f"seed={body.seed}: want 0 to 2**64 - 1, or -1 for any")
    seed = None if body.seed == -1 else body.seed
    options = diffusion_fields(body.diffusion)
    if body.n_predict == 0:
        options["max_denoising_steps"] = 1
    params = SamplingParams(
        max_tokens=body.n_predict if body.n_predict and body.n_predict > 0 else None,
        seed=first_seed(seed, body.temperature),
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k if body.top_k and body.top_k > 0 else None,
        stop=[text for text in body.stop or () if text] or None,
        **options,
    )
    warnings = [*ignored(body), *fill_warnings(params)]
    if body.t_max_predict_ms:
        warnings.append("t_max_predict_ms has no effect here: diffusion.deadline ends a request")
    before = "".join(f"# {extra.filename or 'context'}\n{extra.text}\n" for extra in body.input_extra or ())
    before += body.input_prefix + (body.prompt or "")
    return Exchange(
        model=name,
        fingerprint=fingerprint,
        dialect=TextDialect(),
        starts=[fill_starter(engine, before, body.input_suffix, params)],
        compiles=True,
        warnings=warnings,
    )


def infill_reply(exchange: Exchange, reply: Reply, *, is_warm_up: bool) -> dict[str, Any]:
    """llama.cpp's object; that of a warm-up says nothing."""
    usage = reply.usage
    num_predicted = 0 if is_warm_up else usage.completion_tokens
    return {
        "content": "" if is_warm_up else reply.text,
        "stop": True,
        "stop_type": "eos" if reply.finish_reason == "stop" else "limit",
        "truncated": False,
        "model": exchange.model,
        "seed": reply.seed,
        "tokens_predicted": num_predicted,
        "tokens_evaluated": usage.prompt_tokens,
        "timings": {
            "prompt_n": usage.prompt_tokens,
            "predicted_n": num_predicted,
            "predicted_ms": usage.seconds * 1000,
            "predicted_per_second": num_predicted / max(usage.seconds, 1e-9),
        },
        "warnings": exchange.all_warnings([reply]),
        "usage": exchange.usage([reply]),
    }


def _holes(reply: Reply) -> dict[str, Any]:
    return {} if reply.holes is None else {"holes": dict(reply.holes)}
