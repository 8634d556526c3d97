"""Next edit (Mercury's dialect): one message of tagged text in, the rewritten region out."""

import re
from dataclasses import dataclass
from typing import Any

from redraft.config import SamplingParams
from redraft.engine.engine import Engine
from redraft.engine.handle import Handle
from redraft.errors import InvalidRequest
from redraft.reply import Reply
from redraft.server.exchange import Exchange
from redraft.server.fim import TextDialect
from redraft.server.params import diffusion_fields, first_seed, ignored
from redraft.server.schema import EditRequest, Message

DEFAULT_STRENGTH = 0.5
CURSOR = "<|cursor|>"
_OPENING, _CLOSING = "<|code_to_edit|>", "<|/code_to_edit|>"
_TAG = re.compile(r"<\|/?[a-z_]+\|>\n?")
INSTRUCTION = "Rewrite the code as its recent edits suggest. Context:\n\n"


@dataclass(frozen=True)
class Edit:
    """A region of a file and what is known around it."""

    region: str
    instruction: str


class EditDialect(TextDialect):
    """`edit.completion`: the region in a fence, or "None" where it stays as it is."""

    name = "edit.completion"

    def __init__(self, edit: Edit):
        self._edit = edit

    def choice(self, index: int, reply: Reply) -> dict[str, Any]:
        is_same = reply.text.rstrip("\n") == self._edit.region.rstrip("\n")
        content = "None" if is_same else f"```\n{reply.text}\n```"
        message = {"role": "assistant", "content": content}
        return {"index": index, "message": message, "finish_reason": reply.finish_reason, "seed": reply.seed}


def read_edit(message: Message) -> Edit:
    """The region between <|code_to_edit|> tags, and all else as the instruction. InvalidRequest where there is none."""
    if message.role != "user":
        raise InvalidRequest(f"messages[0].role={message.role!r}: want one user message")
    parts = message.content if isinstance(message.content, list) else []
    text = message.content if isinstance(message.content, str) else "\n".join(part.text or "" for part in parts)
    before, _, rest = text.partition(_OPENING)
    region, is_closed, after = rest.partition(_CLOSING)
    if not is_closed:
        raise InvalidRequest(f"messages[0].content: want the code to edit between {_OPENING} and {_CLOSING}")
    instruction = _TAG.sub("", f"{before}[the code]{after}".replace(CURSOR, "")).strip()
    region = region.removeprefix("\n").removesuffix("\n").replace(CURSOR, "")
    return Edit(region=region, instruction=INSTRUCTION + instruction)


def edit_exchange(body: EditRequest, name: str, engine: Engine, fingerprint: str) -> Exchange:
    """What an edit request asks of the engine; InvalidRequest names what cannot be done."""
    edit = read_edit(body.messages[0])
    params = SamplingParams(
        max_tokens=body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens,
        temperature=body.temperature,
        seed=first_seed(body.seed, body.temperature),
        stop=[body.stop] if isinstance(body.stop, str) else body.stop,
        **diffusion_fields(body.diffusion),
    )
    strength = DEFAULT_STRENGTH if body.strength is None else body.strength

    def start(_: bool) -> Handle:
        return engine._edit(edit.region, edit.instruction, params, strength)

    return Exchange(
        model=name, fingerprint=fingerprint, dialect=EditDialect(edit), starts=[start], warnings=ignored(body)
    )
