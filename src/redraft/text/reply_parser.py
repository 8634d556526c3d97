"""Ids of a chat reply, in pieces -> answer, thoughts and tool calls. Works on ids, so text cannot pose as a marker."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redraft.reply import ToolCall
from redraft.text.detokenize import Detokenizer, Piece
from redraft.text.tokenizer import Tokenizer

_THOUGHT_HEADER = "thought\n"
_STRING = "\0"  # stands for a delimited string while the rest of a call is read
_CALL = re.compile(r'\s*call:\s*([^\s{}"\0]+)\s*(\{.*\})\s*', re.DOTALL)
_JSON_STRING_OR_KEY = re.compile(r'"(?:[^"\\]|\\.)*"|\0|([{,])([^{}\[\],:"\0]+):', re.DOTALL)


@dataclass(frozen=True)
class Segment:
    """Ids of one channel ("answer" or "reasoning") and the text they settle; markers and tool calls have none."""

    channel: str
    token_ids: tuple[int, ...]
    text: str


class ReplyParser:
    """Splits a reply into channels and tool calls as its ids arrive (by the markers of Gemma).

    `<|channel>thought\\n ... <channel|>` is reasoning, all else is the answer, less the tool calls
    `<|tool_call>call:name{key:value,...}<tool_call|>`, whose strings stand between `<|"|>`. A call that cannot be read
    is text with a warning. Stop strings are searched in the answer alone: one in a thought would leave no answer. Ids
    of all segments together are the ids pushed (up to a stop), and nothing hangs on how they were split. A tokenizer
    without these markers has answers only.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()):
        self._tokenizer = tokenizer
        named = tokenizer.control_tokens.get
        self._open_channel, self._close_channel = named("<|channel>"), named("<channel|>")
        self._open_call, self._close_call, self._quote = named("<|tool_call>"), named("<tool_call|>"), named('<|"|>')
        self._answer = Detokenizer(tokenizer, stop)
        self._thought: _Thought | None = None
        self._call: list[int] | None = None  # ids of an open tool call, its marker first
        self._segments: list[Segment] = []
        self._num_pushed = 0
        self.tool_calls: list[ToolCall] = []
        self.warnings: list[str] = []
        self.num_tokens: int | None = None  # ids to keep where a stop string ended the reply

    def push(self, ids: Iterable[int]) -> list[Segment]:
        """What these ids settle, in order. Not to be called after a stop string (`num_tokens` is then set)."""
        assert self.num_tokens is None, "push after a stop string"
        for token_id in ids:
            self._take(token_id)
            if self.num_tokens is not None:
                break
        return self._taken()

    def finish(self) -> list[Segment]:
        """What is left at the end of the reply; warns of a thought or a tool call that was cut."""
        if self.num_tokens is not None:
            return []
        self._give_up_call("the reply ended inside a tool call, which is given as text")
        if self._thought is not None:
            self.warnings.append("the reply ended inside a thought: no answer follows it")
            self._add("reasoning", (), self._thought.close())
        if self.num_tokens is None:
            self._add_answer((), self._answer.finish())
        return self._taken()

    def _take(self, token_id: int) -> None:
        if self._call is not None and token_id == self._close_call:
            self._finish_call()
        elif self._call is not None and (token_id == self._quote or token_id not in self._tokenizer.special_ids):
            self._call.append(token_id)
        else:
            self._give_up_call("a tool call has no end and is given as text")
            if self.num_tokens is None:
                self._take_outside_calls(token_id)

    def _take_outside_calls(self, token_id: int) -> None:
        if token_id == self._open_call:
            self._call = [token_id]
        elif token_id == self._open_channel and self._thought is None:
            self._thought = _Thought(self._tokenizer)
            self._add("reasoning", (token_id,), "")
        elif token_id == self._close_channel and self._thought is not None:
            self._add("reasoning", (token_id,), self._thought.close())
            self._thought = None
        else:
            self._add_text(token_id)

    def _add_text(self, token_id: int) -> None:
        if self._thought is not None:
            self._add("reasoning", (token_id,), self._thought.push(token_id))
        else:
            self._add_answer((token_id,), self._answer.push((token_id,)))

    def _add_answer(self, ids: tuple[int, ...], piece: Piece) -> None:
        self._add("answer", ids, piece.text)
        if piece.num_tokens is not None:
            self.num_tokens = self._num_pushed

    def _add(self, channel: str, ids: tuple[int, ...], text: str) -> None:
        self._num_pushed += len(ids)
        last = self._segments[-1] if self._segments else None
        if last is not None and last.channel == channel:
            self._segments[-1] = replace(last, token_ids=last.token_ids + ids, text=last.text + text)
        elif ids or text:
            self._segments.append(Segment(channel, ids, text))

    def _taken(self) -> list[Segment]:
        segments, self._segments = self._segments, []
        return segments

    def _finish_call(self) -> None:
        assert self._call is not None and self._close_call is not None
        call = read_call(self._call[1:], self._quote, self._tokenizer)
        if call is None:
            self._call.append(self._close_call)
            self._give_up_call("a tool call could not be read and is given as text")
            return
        self.tool_calls.append(call)
        self._add(self._channel, (*self._call, self._close_call), "")
        self._call = None

    def _give_up_call(self, warning: str) -> None:
        """Treats the ids of an open tool call, if there is one, as text of the channel it stands in."""
        if self._call is None:
            return
        ids, self._call = self._call, None
        self.warnings.append(warning)
        for token_id in ids:
            self._add_text(token_id)
            if self.num_tokens is not None:
                return

    @property
    def _channel(self) -> str:
        return "answer" if self._thought is None else "reasoning"


class _Thought:
    """The text of one thought, less the line that names its channel."""

    def __init__(self, tokenizer: Tokenizer):
        self._detokenizer = Detokenizer(tokenizer)
        self._header: str | None = ""  # the text so far, until it is clear whether it begins with the channel's name

    def push(self, token_id: int) -> str:
        return self._without_header(self._detokenizer.push((token_id,)).text)

    def close(self) -> str:
        """The text still held back."""
        text = self._without_header(self._detokenizer.finish().text)
        return text if self._header in (None, _THOUGHT_HEADER.strip()) else text + self._header

    def _without_header(self, text: str) -> str:
        if self._header is None:
            return text
        self._header += text
        if _THOUGHT_HEADER.startswith(self._header) and self._header != _THOUGHT_HEADER:
            return ""
        text, self._header = self._header.removeprefix(_THOUGHT_HEADER), None
        return text


def read_call(ids: Sequence[int], quote: int | None, tokenizer: Tokenizer) -> ToolCall | None:
    """The tool call between its two markers, None where it cannot be read.

    The grammar is JSON's, with bare keys and with `quote` around strings; JSON's own strings are read too.
    """
    runs: list[list[int]] = [[]]
    for token_id in ids:
        if token_id == quote:
            runs.append([])
        else:
            runs[-1].append(token_id)
    texts = [tokenizer.decode(run) for run in runs]
    if len(texts) % 2 == 0 or any(_STRING in text for text in texts[::2]):
        return None
    match = _CALL.fullmatch(_STRING.join(texts[::2]))
    if match is None:
        return None
    strings = iter(texts[1::2])

    def as_json(part: re.Match[str]) -> str:
        if part[0] == _STRING:
            return json.dumps(next(strings))
        return part[0] if part[1] is None else f"{part[1]}{json.dumps(part[2].strip())}:"

    try:
        arguments: Any = json.loads(_JSON_STRING_OR_KEY.sub(as_json, match[2]), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return ToolCall(name=match[1], arguments=arguments) if isinstance(arguments, dict) else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")
