"""OpenAI's legacy completions: one or many prompts, echo, logprobs, a suffix."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from redraft.config import SamplingParams
from redraft.engine.engine import Engine
from redraft.engine.handle import Handle
from redraft.errors import InvalidRequest
from redraft.reply import Commit, Reply, TokenLogprob
from redraft.server.exchange import Exchange
from redraft.server.fim import TextDialect, fill_starter, fill_warnings, split_markers
from redraft.server.formats import constraint_of
from redraft.server.limits import Start
from redraft.server.openai import finite, stream_fields, token_text
from redraft.server.params import draft_wish, sampling_params
from redraft.server.schema import CompletionRequest
from redraft.text.tokenizer import Tokenizer

Prompt = str | list[int]


class EchoDialect(TextDialect):
    """`text_completion` that may repeat its prompt and may be asked for the prompt alone."""

    def __init__(self, engine: Engine, prompts: Sequence[Prompt], *, is_echo: bool, is_bare: bool):
        """`prompts` of each choice; `is_bare`: max_tokens was 0, so that what was generated is cut off again."""
        self._intake, self._tokenizer, self._prompts = engine.intake, engine.tokenizer, prompts
        self._is_echo, self._is_bare = is_echo, is_bare

    def choice(self, index: int, reply: Reply) -> dict[str, Any]:
        echoed = self._echoed(index)
        text = "" if self._is_bare else reply.text
        choice = super().choice(index, reply)
        return {**choice, "text": echoed + text, "logprobs": self._logprobs(index, reply)}

    def opening(self, index: int) -> dict[str, Any] | None:
        echoed = self._echoed(index)
        return self._text(index, echoed) if echoed else None

    def delta(self, index: int, commit: Commit) -> dict[str, Any] | None:
        return None if self._is_bare else super().delta(index, commit)

    def closing(self, index: int, reply: Reply) -> list[dict[str, Any]]:
        end = super().closing(index, reply)
        return [*end[:-1], {**end[-1], "logprobs": self._logprobs(index, reply)}]

    def _echoed(self, index: int) -> str:
        if not self._is_echo:
            return ""
        prompt = self._prompts[index]
        return prompt if isinstance(prompt, str) else self._tokenizer.decode(prompt)

    def _logprobs(self, index: int, reply: Reply) -> dict[str, Any] | None:
        if reply.logprobs is None:
            return None
        entries: list[TokenLogprob | int] = [] if self._is_bare else list(reply.logprobs)
        if self._is_echo:
            first = self._intake.prompt_ids(self._prompts[index])[0]
            entries = [first, *(entry for entry in reply.prompt_logprobs or () if entry is not None), *entries]
        return _token_lists(self._tokenizer, entries)


def completion_exchange(body: CompletionRequest, name: str, engine: Engine, fingerprint: str) -> Exchange:
    """What a completion request asks of the engine; InvalidRequest names what cannot be done."""
    prompts = _prompts(body.prompt)
    is_bare = body.max_tokens == 0
    if is_bare and not body.echo:
        raise InvalidRequest("max_tokens=0: want at least 1, or echo=true")
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise InvalidRequest(f"best_of={body.best_of}: want what n is, replies are not ranked")
    constraint = constraint_of(body.response_format)
    params, warnings = sampling_params(
        body,
        max_tokens=1 if is_bare else body.max_tokens,
        constraint=constraint,
        logprobs=body.logprobs,
        prompt_logprobs=body.logprobs if body.echo else None,
    )
    if is_bare:
        params = params[:1] * (body.n or 1)
    starts = [_starter(engine, body, prompt, item) for prompt in prompts for item in params]
    shown: list[Prompt] = [prompt for prompt in prompts for _ in params]
    is_fill = bool(body.suffix) or any(map(_is_marked, prompts))
    if is_fill:
        warnings += fill_warnings(params[0])
    return Exchange(
        model=name,
        fingerprint=fingerprint,
        dialect=EchoDialect(engine, shown, is_echo=bool(body.echo), is_bare=is_bare),
        starts=starts,
        compiles=constraint is not None or is_fill,
        num_per_prompt=len(params),
        warnings=warnings,
        drafts=draft_wish(body.diffusion),
        **stream_fields(body),
    )


def _starter(engine: Engine, body: CompletionRequest, prompt: Prompt, params: SamplingParams) -> Start:
    """The start of one choice: an infill where there is a suffix, or markers of one in the prompt."""
    pair = split_markers(prompt) if isinstance(prompt, str) else None
    if body.suffix:
        before = prompt if isinstance(prompt, str) else engine.tokenizer.decode(prompt)
        pair = (before, body.suffix)
    if pair is not None:
        if body.echo:
            raise InvalidRequest("echo cannot be used with a suffix: leave one out")
        return fill_starter(engine, *pair, params)

    def start(wants_drafts: bool) -> Handle:
        ids = engine.intake.prompt_ids(prompt)
        is_one = len(ids) == 1  # nothing predicts a first token
        return engine._start(ids, replace(params, prompt_logprobs=None) if is_one else params, wants_drafts)

    return start


def _is_marked(prompt: Prompt) -> bool:
    return isinstance(prompt, str) and split_markers(prompt) is not None


def _prompts(given: Any) -> list[Prompt]:
    """The prompts of a request: a string, ids, or a list of either."""
    if isinstance(given, str) or isinstance(given[0], int):
        return [given]
    return list(given)


def _token_lists(tokenizer: Tokenizer, entries: Sequence[TokenLogprob | int]) -> dict[str, Any]:
    """The four lists of the legacy format. A bare id is a first token, which nothing predicts."""
    lists: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    offset = 0
    for entry in entries:
        token_id = entry if isinstance(entry, int) else entry.token_id
        lists["tokens"].append(token_text(tokenizer, token_id))
        lists["text_offset"].append(offset)
        offset += len(tokenizer.decode([token_id]))
        if isinstance(entry, int):
            lists["token_logprobs"].append(None)
            lists["top_logprobs"].append(None)
            continue
        lists["token_logprobs"].append(finite(entry.logprob))
        lists["top_logprobs"].append({token_text(tokenizer, i): finite(p) for i, p in entry.top})
    return lists
