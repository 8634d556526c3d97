"""Rewriting a text in place: a canvas that starts as the text, partly noised (a warm start)."""

from dataclasses import replace
from numbers import Real
from typing import Any

import torch

from redraft.config import SamplingParams
from redraft.diffusion.process import Place
from redraft.diffusion.sampler import WarmStart
from redraft.engine.intake import Intake
from redraft.engine.request import Request
from redraft.errors import InvalidRequest
from redraft.kernels.random import Stream
from redraft.reply import Reply, Usage


def edit_messages(text: str, instruction: str) -> list[dict[str, str]]:
    """The conversation that asks for the rewritten text."""
    return [{"role": "user", "content": f"{instruction}\n\n{text}"}]


def edit_request(intake: Intake, text: str, instruction: str, params: SamplingParams, strength: float) -> Request:
    """The request that rewrites `text`, one canvas long.

    A position whose uniform (stream EDIT) is below `strength` starts as noise and goes back to noise; every other one
    starts as its token of the text and goes back to it. InvalidRequest where the text does not fit the canvas.
    """
    if isinstance(strength, bool) or not isinstance(strength, Real) or not 0 <= strength <= 1:
        raise InvalidRequest(f"strength={strength!r}: want a number from 0 (keep the text) to 1 (start from noise)")
    for name in ("constraint", "ignore_eos"):
        if getattr(params, name):
            raise InvalidRequest(f"{name}={getattr(params, name)!r} cannot be used with an edit: leave it out")
    if params.decoding != "diffusion":
        raise InvalidRequest(f"decoding={params.decoding!r}: an edit wants 'diffusion'")
    canvas_length = params.canvas_length or intake.config.canvas_length
    max_tokens = params.max_tokens or canvas_length
    if max_tokens > canvas_length:
        raise InvalidRequest(f"max_tokens={max_tokens}: an edit is one canvas, want at most {canvas_length}")
    intake.check_characters("text", text)
    text_ids = intake.tokenizer.encode_plain(text)
    if len(text_ids) > max_tokens:
        raise InvalidRequest(f"text has {len(text_ids)} tokens: want at most {max_tokens}, what one canvas holds")
    params = replace(params, max_tokens=max_tokens)
    request = intake.request(intake.chat_ids(edit_messages(text, instruction), None, False), params)
    return _with_warm_start(request, text_ids, strength, intake)


def _with_warm_start(request: Request, text_ids: list[int], strength: float, intake: Intake) -> Request:
    """The same request, its canvas starting from the text followed by end fill."""
    draws: Any = request.draws
    fill = intake.end_ids(request.params)[0]
    padded = text_ids + [fill] * (request.canvas_length - len(text_ids))
    start = torch.tensor(padded, device=intake.device)
    is_noisy = draws.uniforms(Place(0, 0), request.canvas_length, Stream.EDIT) < strength
    noise = draws.first_canvas(0, request.canvas_length, intake.config.vocab_size)
    request.first_canvas = torch.where(is_noisy, noise, start)
    request.rules = intake.rules(request.params, is_constrained=False, renoise=WarmStart(start, is_noisy))
    return request


def kept(request: Request, text: str, label: str) -> Reply:
    """The reply of an edit of strength 0: the text, without a pass."""
    usage = Usage(
        prompt_tokens=len(request.prompt_ids),
        completion_tokens=0,
        canvases=0,
        denoising_steps=0,
        forward_passes=0,
        tokens_per_forward=0.0,
        converged=(),
        seconds=0.0,
    )
    return Reply(text=text, token_ids=(), finish_reason="stop", seed=request.seed, usage=usage, model=label)
