"""What a caller says -> a checked Request. Everything that can be refused is refused here, before any forward."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch

from redraft.config import GenerationDefaults, ModelConfig, SamplingParams
from redraft.diffusion.plain import Rules
from redraft.diffusion.predict import LogitRule
from redraft.diffusion.process import CounterDraws
from redraft.engine.request import Request
from redraft.errors import InvalidRequest
from redraft.text.chat import ChatTemplate
from redraft.text.tokenizer import Tokenizer

Prompt = str | Sequence[int]
Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Intake:
    """The facts of one loaded checkpoint that a request is checked against."""

    config: ModelConfig
    defaults: GenerationDefaults
    tokenizer: Tokenizer
    template: ChatTemplate
    max_context: int
    device: torch.device

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Ids of a raw prompt: text through the tokenizer with its post-processor, ids as they are."""
        if isinstance(prompt, str):
            return self.tokenizer.encode_prompt(prompt)
        is_ids = isinstance(prompt, Sequence) and all(
            isinstance(token, Integral) and not isinstance(token, bool) for token in prompt
        )
        if not is_ids:
            raise InvalidRequest(f"prompt={_short(prompt)}: want a string or a list of token ids")
        return [int(token) for token in prompt]

    def chat_ids(self, messages: Messages, tools: Sequence[Mapping[str, Any]] | None, thinking: bool) -> list[int]:
        """Ids of a conversation through the checkpoint's chat template."""
        return self.template.encode(messages, tools=tools, thinking=thinking)

    def request(self, prompt_ids: Sequence[int], given: SamplingParams) -> Request:
        """The request, with defaults filled in and a seed; InvalidRequest names what cannot be done."""
        params: Any = given.resolved(self.defaults)
        canvas_length = params.canvas_length or self.config.canvas_length
        self._check(prompt_ids, params, canvas_length)
        stop_ids = self._stop_ids(params)
        seed = params.seed
        if seed is None:
            seed = 0 if params.temperature == 0 else secrets.randbits(64)
        request = Request(
            prompt_ids=tuple(prompt_ids),
            params=params,
            seed=seed,
            stop_ids=frozenset(stop_ids),
            canvas_length=canvas_length,
            rules=Rules().filled(params, stop_ids) if params.decoding == "diffusion" else None,
            logit_rule=LogitRule.from_params(params, stop_ids, self.config.vocab_size),
            draws=CounterDraws(seed, self.device),
        )
        if request.capacity > self.max_context:
            raise InvalidRequest(
                f"prompt of {len(prompt_ids)} tokens and max_tokens={params.max_tokens} (canvases of {canvas_length}) "
                f"take {request.capacity} tokens of context: want at most {self.max_context}"
            )
        return request

    def _check(self, prompt_ids: Sequence[int], params: Any, canvas_length: int) -> None:
        vocab_size = self.config.vocab_size
        if not prompt_ids:
            raise InvalidRequest("prompt has no tokens: want at least one")
        outside = next((token for token in prompt_ids if not 0 <= token < vocab_size), None)
        if outside is not None:
            raise InvalidRequest(f"prompt has the token id {outside}: want 0 to {vocab_size - 1}")
        if canvas_length > self.config.canvas_length:
            raise InvalidRequest(
                f"canvas_length={canvas_length}: want 1 to {self.config.canvas_length}, the checkpoint's own"
            )
        if params.min_tokens > params.max_tokens:
            raise InvalidRequest(f"min_tokens={params.min_tokens}: want at most max_tokens, {params.max_tokens}")
        for name in ("logprobs", "prompt_logprobs"):
            value = getattr(params, name)
            if value is not None and value > vocab_size:
                raise InvalidRequest(f"{name}={value}: want at most the vocabulary, {vocab_size}")
        if params.constraint is not None:
            raise InvalidRequest(f"constraint={_short(params.constraint)}: not supported yet, leave it out")

    def _stop_ids(self, params: Any) -> tuple[int, ...]:
        """The checkpoint's end ids, unless ignored, and the caller's."""
        end_ids = () if params.ignore_eos else (self.defaults.eos_token_ids or self.config.eos_token_ids)
        return tuple(dict.fromkeys((*end_ids, *(params.stop_token_ids or ()))))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
