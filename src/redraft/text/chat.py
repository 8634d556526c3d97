"""Chat messages -> prompt ids, through the checkpoint's own template.

What people, tools and models wrote never becomes a control token. While the template is rendered, the characters that
control tokens begin and end with are stood in for, in every string of the messages and tools, by characters that occur
nowhere else. So each control token in the rendered text was written by the template; the text is split there, the
stand-ins are turned back, and what lies between is encoded as plain text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from redraft.errors import InvalidRequest, LoadError
from redraft.text.messages import checked_messages, checked_tools
from redraft.text.tokenizer import Tokenizer

_STAND_INS = range(0xE000, 0xF900)  # the private use area


class ChatTemplate:
    """The chat template of a checkpoint: chat_template.jinja, else the one in tokenizer_config.json."""

    def __init__(self, source: str | None, tokenizer: Tokenizer):
        """`source` None: every use is refused. Raises LoadError where the template is not Jinja."""
        self._source, self._tokenizer = source, tokenizer
        if source is None:
            return
        try:
            environment = _environment()
            self._template = environment.from_string(source)
            self._variables = jinja2.meta.find_undeclared_variables(environment.parse(source))
        except jinja2.TemplateError as error:
            raise LoadError(f"chat template: {error}") from error

    @classmethod
    def from_directory(cls, path: str | Path, tokenizer: Tokenizer) -> "ChatTemplate":
        """The template of a checkpoint directory, which may have none."""
        file = Path(path) / "chat_template.jinja"
        if file.is_file():
            return cls(file.read_text(encoding="utf-8"), tokenizer)
        named = tokenizer.config.get("chat_template")
        if isinstance(named, list):  # several templates; "default" is the one for chats
            named = {entry.get("name"): entry.get("template") for entry in named}.get("default")
        return cls(named, tokenizer)

    @property
    def source(self) -> str | None:
        """The template's text, None where the checkpoint has none."""
        return self._source

    @property
    def is_present(self) -> bool:
        """Whether the checkpoint has a template at all."""
        return self._source is not None

    def encode(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
        max_characters: int | None = None,
    ) -> list[int]:
        """Ids of the prompt that asks for the next model turn.

        Messages and tools are those of the OpenAI chat API (`redraft.text.messages` says what is checked). Raises
        InvalidRequest naming what is wrong with them, also where the checkpoint has no template or its template knows
        no tools or no thinking, or makes more than `max_characters` of them.
        """
        guard, values = self._guarded(messages, tools, thinking)
        rendered = self._render(values, guard)
        if max_characters is not None and len(rendered) > max_characters:
            raise InvalidRequest(f"messages of {len(rendered)} characters: want at most {max_characters}")
        return self._encode_rendered(rendered, guard)

    def encode_answer(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> tuple[list[int], list[int]]:
        """Ids of the prompt that asks for the last message, an assistant's, and of what the template makes of it.

        For training: the first are what `encode` gives without that message (with thinking where it has thoughts), the
        second begin after the header of the model's turn and run to the end of the conversation. Raises InvalidRequest
        where the template leaves out a part of the message, or does not continue the conversation before it.
        """
        if not messages or messages[-1].get("role") != "assistant":
            raise InvalidRequest("messages: want an assistant's message at the end")
        thoughts = checked_messages(messages)[-1].get("reasoning")
        guard, values = self._guarded(messages, tools, thinking=thoughts is not None)
        *before, answer = values["messages"]
        past, prompt, whole = (
            self._render({**values, "messages": shown, "add_generation_prompt": asks}, guard)
            for shown, asks in ((before, False), (before, True), ([*before, answer], False))
        )
        if not (prompt.startswith(past) and whole.startswith(past)):
            raise InvalidRequest("messages: the chat template does not write the last one after the others")
        # What a prompt has beyond the header, such as an empty channel of thoughts, steers a model and is no answer.
        written = whole[self._num_shared(prompt, whole) :]
        for key in ("content", "reasoning"):
            if answer.get(key) and answer[key].strip() not in written:
                raise InvalidRequest(f"messages[-1].{key}: the chat template does not write it")
        return self._encode_rendered(prompt, guard), self._encode_rendered(written, guard)

    def _guarded(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None, thinking: bool
    ) -> tuple["_Guard", dict[str, Any]]:
        """The template's variables, checked and with stand-ins in their strings."""
        if self._source is None:
            raise InvalidRequest("messages: this checkpoint has no chat template, want a prompt")
        for name, given, variable in (("tools", bool(tools), "tools"), ("thinking", thinking, "enable_thinking")):
            if given and variable not in self._variables:
                raise InvalidRequest(f"{name}: the chat template of this checkpoint has no {name}")
        values = {"messages": checked_messages(messages), "tools": checked_tools(tools)}
        guard = _Guard(self._tokenizer, self._source, values)
        return guard, {**guard.hide(values), "enable_thinking": thinking, "add_generation_prompt": True}

    def _render(self, values: dict[str, Any], guard: "_Guard") -> str:
        config = {key: value for key, value in self._tokenizer.config.items() if key.endswith("_token")}
        tokens = {key: value["content"] if isinstance(value, Mapping) else value for key, value in config.items()}
        try:
            return self._template.render({**tokens, **values})
        except Exception as error:  # a template is a program, and these messages are its input
            raise InvalidRequest(f"messages: the chat template refuses them: {guard.show(str(error))}") from error

    def _num_shared(self, prompt: str, whole: str) -> int:
        """How many characters two rendered texts begin with alike, none of them half of a control token."""
        pairs = enumerate(zip(prompt, whole, strict=False))
        count = next((i for i, (a, b) in pairs if a != b), len(prompt))
        start = 0
        for part in self._parts(whole):
            if start + len(part) > count:
                return start if part in self._tokenizer.control_tokens else count
            start += len(part)
        return count

    def _parts(self, rendered: str) -> list[str]:
        """The text cut before and after every control token."""
        names = "|".join(re.escape(name) for name in sorted(self._tokenizer.control_tokens, key=len, reverse=True))
        return re.split(f"({names})", rendered) if names else [rendered]

    def _encode_rendered(self, rendered: str, guard: "_Guard") -> list[int]:
        control = self._tokenizer.control_tokens
        ids: list[int] = []
        for part in self._parts(rendered):
            if part in control:
                ids.append(control[part])
            elif part:
                ids.extend(self._tokenizer.encode_plain(guard.show(part)))
        return ids


class _Guard:
    """Stand-ins for the first and last characters of control tokens, none of which occurs in the template or values.

    Both ends are hidden so that no control token can be put together from the edges of two strings.
    """

    def __init__(self, tokenizer: Tokenizer, source: str, values: Mapping[str, Any]):
        try:
            taken = set(source + json.dumps(values, ensure_ascii=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequest(f"messages, tools: want values that JSON can hold ({error})") from error
        edges = sorted({ord(edge) for name in tokenizer.control_tokens for edge in (name[0], name[-1])})
        free = (code for code in _STAND_INS if chr(code) not in taken)
        self._hidden = dict(zip(edges, free, strict=False))
        if len(self._hidden) < len(edges):
            raise InvalidRequest("messages: too many private use characters in them")
        self._shown = {stand_in: edge for edge, stand_in in self._hidden.items()}

    def hide(self, value: Any) -> Any:
        """A copy of a JSON value with stand-ins in all its strings, keys too."""
        if isinstance(value, str):
            return value.translate(self._hidden)
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(item) for item in value]
        return value

    def show(self, text: str) -> str:
        """The text with the stand-ins turned back."""
        return text.translate(self._shown)


class _Generation(Extension):
    """`{% generation %}...{% endgeneration %}` marks what a model wrote, for training; here it prints its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _environment() -> ImmutableSandboxedEnvironment:
    """The sandbox published templates are written for: its switches, filters and functions."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML escapes; private use characters stay themselves, so that stand-ins are found again."""
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return re.sub(r"\\(?:\\|u([0-9a-f]{4}))", _keep_private, text) if ensure_ascii else text


def _keep_private(match: re.Match[str]) -> str:
    code = int(match[1] or "0", 16)
    return chr(code) if code in _STAND_INS else match[0]
