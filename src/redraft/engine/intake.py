"""What a caller says -> a checked Request. Everything that can be refused is refused here, before any forward."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch

from redraft.config import BAN_BIAS, GenerationDefaults, ModelConfig, SamplingParams
from redraft.constraints.compiled import CompileCache
from redraft.constraints.spec import TextConstraint, Tokens
from redraft.diffusion.plain import FilledRules, Rules
from redraft.diffusion.predict import LogitRule
from redraft.diffusion.process import CounterDraws
from redraft.diffusion.sampler import WarmStart
from redraft.diffusion.stopping import StableAndConfident
from redraft.engine.request import Request
from redraft.engine.steering import AutomatonSteering
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
    compiled: CompileCache  # of this tokenizer's vocabulary
    max_context: int
    device: torch.device

    @property
    def max_characters(self) -> int:
        """What no text that fits the context exceeds. Longer ones are refused unread: encoding them takes seconds."""
        return self.max_context * self.tokenizer.longest_piece

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Ids of a raw prompt: text through the tokenizer with its post-processor, ids as they are."""
        if isinstance(prompt, str):
            self.check_characters("prompt", prompt)
            return self.tokenizer.encode_prompt(prompt)
        is_ids = isinstance(prompt, Sequence) and all(
            isinstance(token, Integral) and not isinstance(token, bool) for token in prompt
        )
        if not is_ids:
            raise InvalidRequest(f"prompt={_short(prompt)}: want a string or a list of token ids")
        return [int(token) for token in prompt]

    def chat_ids(self, messages: Messages, tools: Sequence[Mapping[str, Any]] | None, thinking: bool) -> list[int]:
        """Ids of a conversation through the checkpoint's chat template."""
        return self.template.encode(messages, tools=tools, thinking=thinking, max_characters=self.max_characters)

    def check_characters(self, name: str, text: str) -> None:
        """InvalidRequest where `text` cannot fit the context, whatever its tokens are."""
        if len(text) > self.max_characters:
            raise InvalidRequest(f"{name} of {len(text)} characters: want at most {self.max_characters}")

    def request(
        self,
        prompt_ids: Sequence[int],
        given: SamplingParams,
        *,
        thinking: bool = False,
        num_healed: int = 0,
        default_min_tokens: int | None = None,
    ) -> Request:
        """The request, with defaults filled in and a seed; InvalidRequest names what cannot be done.

        Under a constraint `thinking` says that free reasoning comes before it. `default_min_tokens` None: 1, and 0
        under a constraint. `num_healed` tokens of the first canvas are no part of the reply.
        """
        if default_min_tokens is None:
            default_min_tokens = 1 if given.constraint is None else 0
        params: Any = given.resolved(self.defaults, min_tokens=default_min_tokens)
        canvas_length = params.canvas_length or self.config.canvas_length
        self._check(prompt_ids, params, canvas_length)
        stop_ids = self.end_ids(params)
        seed = params.seed
        if seed is None:
            seed = 0 if params.temperature == 0 else secrets.randbits(64)
        request = Request(
            prompt_ids=tuple(prompt_ids),
            params=params,
            seed=seed,
            stop_ids=frozenset(stop_ids),
            canvas_length=canvas_length,
            rules=self.rules(params, params.constraint is not None),
            logit_rule=LogitRule.from_params(params, stop_ids, self.config.vocab_size),
            draws=CounterDraws(seed, self.device),
            num_healed=num_healed,
        )
        if request.capacity > self.max_context:
            raise InvalidRequest(
                f"prompt of {len(prompt_ids)} tokens and max_tokens={params.max_tokens} (canvases of {canvas_length}) "
                f"take {request.capacity} tokens of context: want at most {self.max_context}"
            )
        if params.constraint is not None:
            request.steering = self._steering(params, stop_ids, thinking)
        return request

    def rules(self, params: Any, is_constrained: bool, renoise: WarmStart | None = None) -> FilledRules | None:
        """The rules that resolved params describe; None for left-to-right decoding, which has none."""
        if params.decoding != "diffusion":
            return None
        stop_ids = self.end_ids(params)
        stop = StableAndConfident(
            params.stability_threshold, params.confidence_threshold, stop_ids if is_constrained else None
        )
        return Rules(stop=stop, renoise=renoise).filled(params, stop_ids)

    def _steering(self, params: Any, stop_ids: tuple[int, ...], thinking: bool) -> AutomatonSteering:
        """The compiled constraint at its start; InvalidRequest where no reply within the budget fulfils it."""
        if not isinstance(params.constraint, TextConstraint | Tokens):
            raise InvalidRequest(f"constraint={_short(params.constraint)}: want Regex, Choice, JSONSchema, ...")
        banned = frozenset(i for i, bias in (params.logit_bias or {}).items() if bias <= BAN_BIAS)
        close = self.tokenizer.token_id("<channel|>") if thinking else None
        opening = self.tokenizer.token_id("<|channel>") if thinking else None
        compiled = self.compiled.compile(params.constraint, stop_ids, banned, close, opening)
        compiled.check_budget(params.max_tokens)
        return AutomatonSteering(compiled, stop_ids, self.device)

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

    def end_ids(self, params: Any) -> tuple[int, ...]:
        """Ids that end a reply: the checkpoint's, unless ignored, then the caller's. The first fills what follows."""
        end_ids = () if params.ignore_eos else (self.defaults.eos_token_ids or self.config.eos_token_ids)
        return tuple(dict.fromkeys((*end_ids, *(params.stop_token_ids or ()))))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def is_many(prompt: Any) -> bool:
    """Whether `prompt` is a list of prompts rather than one string or one list of ids."""
    return (
        isinstance(prompt, Sequence)
        and not isinstance(prompt, str)
        and any(isinstance(item, Sequence) for item in prompt)
    )
