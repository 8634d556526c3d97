"""OpenAI's chat and legacy completions: wire <-> SamplingParams and Reply."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from redraft.engine.engine import Engine
from redraft.engine.handle import Handle
from redraft.errors import InvalidRequest
from redraft.reply import Commit, Reply, TokenLogprob, ToolCall
from redraft.server.exchange import DraftWish, Exchange
from redraft.server.formats import ForcedCall, constraint_of, forced_call, tools_for_template
from redraft.server.limits import Start
from redraft.server.params import draft_wish, sampling_params
from redraft.server.schema import ChatRequest, Sampling
from redraft.text.tokenizer import Tokenizer

NO_THINKING = ("none", "minimal", "instant")
THINKING = ("low", "medium", "high", "xhigh", "max")
SMALLEST_LOGPROB = -9999.0  # JSON has no infinity; OpenAI writes this


class ChatDialect:
    """`chat.completion`: messages, with thoughts in `reasoning_content`."""

    name, chunk_name = "chat.completion", "chat.completion.chunk"

    def __init__(self, tokenizer: Tokenizer, forced: ForcedCall | None = None, is_single_call: bool = False):
        self._tokenizer, self._forced, self._is_single_call = tokenizer, forced, is_single_call

    def choice(self, index: int, reply: Reply) -> dict[str, Any]:
        calls = self._calls(reply)
        text = "" if self._forced else reply.text
        message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else ""), "refusal": None}
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        if calls:
            message["tool_calls"] = [_call_object(call) for call in calls]
        end = {"index": index, "message": message, "logprobs": self._logprobs(reply)}
        return {**end, "finish_reason": _finish_reason(reply, calls), **_extras(reply)}

    def opening(self, index: int) -> dict[str, Any]:
        return _chunk_choice(index, {"role": "assistant", "content": ""})

    def empty(self, index: int) -> dict[str, Any]:
        return _chunk_choice(index, {})

    def delta(self, index: int, commit: Commit) -> dict[str, Any] | None:
        if not commit.text:
            return None
        if commit.channel == "reasoning":
            return _chunk_choice(index, {"reasoning_content": commit.text})
        return None if self._forced else _chunk_choice(index, {"content": commit.text})

    def whole(self, index: int, text: str) -> dict[str, Any]:
        return _chunk_choice(index, {"content": text})

    def closing(self, index: int, reply: Reply) -> list[dict[str, Any]]:
        calls = self._calls(reply)
        chunks = []
        if calls:
            deltas = [{"index": i, **_call_object(call)} for i, call in enumerate(calls)]
            chunks.append(_chunk_choice(index, {"tool_calls": deltas}))
        end = _chunk_choice(index, {}, _finish_reason(reply, calls))
        return [*chunks, {**end, "logprobs": self._logprobs(reply), **_extras(reply)}]

    def _calls(self, reply: Reply) -> Sequence[ToolCall]:
        if self._forced is not None:
            return [self._forced.read(reply)]
        return reply.tool_calls[:1] if self._is_single_call else reply.tool_calls

    def _logprobs(self, reply: Reply) -> dict[str, Any] | None:
        if reply.logprobs is None:
            return None
        return {"content": [self._token(entry) for entry in reply.logprobs], "refusal": None}

    def _token(self, entry: TokenLogprob) -> dict[str, Any]:
        top = [self._named(token_id, logprob) for token_id, logprob in entry.top]
        return {**self._named(entry.token_id, entry.logprob), "top_logprobs": top}

    def _named(self, token_id: int, logprob: float) -> dict[str, Any]:
        data = self._tokenizer.bytes_of(token_id)
        text = token_text(self._tokenizer, token_id)
        return {"token": text, "logprob": finite(logprob), "bytes": None if data is None else list(data)}


def chat_exchange(body: ChatRequest, name: str, engine: Engine, fingerprint: str) -> Exchange:
    """What a chat request asks of the engine; InvalidRequest names what cannot be done."""
    forced = forced_call(body)
    constraint = constraint_of(body.response_format)
    if forced is not None:
        if constraint is not None:
            raise InvalidRequest("response_format cannot be used with a forced tool_choice: leave one out")
        constraint = forced.constraint
    if body.top_logprobs and not body.logprobs:
        raise InvalidRequest("top_logprobs wants logprobs=true")
    params, warnings = sampling_params(
        body,
        max_tokens=body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens,
        constraint=constraint,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )
    if body.prediction is not None:
        warnings.append("prediction has no effect here: POST /v1/edit/completions starts from a text")
    messages = [message.model_dump(exclude_unset=True) for message in body.messages]
    tools, thinking = tools_for_template(body), wants_thinking(body)

    def starter(item) -> Start:
        def start(wants_drafts: bool) -> Handle:
            ids = engine.intake.chat_ids(messages, tools, thinking)
            return engine._start(ids, item, wants_drafts, thinking)

        return start

    is_whole = bool(body.diffusing and body.stream)
    return Exchange(
        model=name,
        fingerprint=fingerprint,
        dialect=ChatDialect(engine.tokenizer, forced, is_single_call=body.parallel_tool_calls is False),
        starts=[starter(item) for item in params],
        compiles=constraint is not None,
        num_per_prompt=len(params),
        warnings=warnings,
        drafts=DraftWish(mode="whole") if is_whole else draft_wish(body.diffusion),
        **stream_fields(body),
    )


def wants_thinking(body: ChatRequest) -> bool:
    """Whether the request asks for the thought channel, by any of the names clients use."""
    options = body.chat_template_kwargs
    if options is not None and options.enable_thinking is not None:
        return options.enable_thinking
    effort = body.reasoning_effort
    if effort is None or effort in NO_THINKING:
        return False
    if effort not in THINKING:
        wanted = ", ".join((*NO_THINKING, *THINKING))
        raise InvalidRequest(f"reasoning_effort={effort[:40]!r}: want one of {wanted}")
    return True


def stream_fields(body: Sampling) -> dict[str, Any]:
    """The fields of an Exchange that say how it is streamed."""
    options = body.stream_options
    return {
        "is_stream": bool(body.stream),
        "includes_usage": bool(options and (options.include_usage or options.continuous_usage_stats)),
        "usage_in_every_chunk": bool(options and options.continuous_usage_stats),
    }


def token_text(tokenizer: Tokenizer, token_id: int) -> str:
    """What a token is called in logprobs: its text, else its bytes, else (a control token) its id."""
    data = tokenizer.bytes_of(token_id)
    if data is None:
        names = {i: name for name, i in tokenizer.control_tokens.items()}
        return names.get(token_id, f"<id {token_id}>")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def finite(logprob: float) -> float:
    return max(logprob, SMALLEST_LOGPROB)


def _chunk_choice(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _call_object(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _finish_reason(reply: Reply, calls: Sequence[ToolCall]) -> str:
    return "tool_calls" if calls else reply.finish_reason


def _extras(reply: Reply) -> dict[str, Any]:
    """Our own keys of a finished choice."""
    extras: dict[str, Any] = {"seed": reply.seed}
    if reply.holes is not None:
        extras["holes"] = dict(reply.holes)
    if reply.constraint is not None:
        extras["constraint"] = dict(reply.constraint)
    return extras
