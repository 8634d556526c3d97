"""One HTTP request on its way through the engine: what was asked, and the frame its replies come in."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from redraft.reply import Commit, Reply
from redraft.server.limits import Start


class Dialect(Protocol):
    """How one API spells a choice. Every method gives an object of its `choices` list, or the lists of them."""

    name: str  # the `object` of a whole reply
    chunk_name: str  # and of a chunk of a stream

    def choice(self, index: int, reply: Reply) -> dict[str, Any]:
        """A finished choice."""
        ...

    def opening(self, index: int) -> dict[str, Any] | None:
        """What a stream begins with, None for nothing."""
        ...

    def empty(self, index: int) -> dict[str, Any]:
        """A choice that adds nothing: it carries drafts, which clients that do not know them pass over."""
        ...

    def delta(self, index: int, commit: Commit) -> dict[str, Any] | None:
        """Committed text, None where it is not to be shown yet."""
        ...

    def whole(self, index: int, text: str) -> dict[str, Any]:
        """All the text so far, which replaces what was shown before (only where a client asked for that)."""
        ...

    def closing(self, index: int, reply: Reply) -> list[dict[str, Any]]:
        """What a stream ends a choice with; the last carries the finish reason."""
        ...


@dataclass(frozen=True, kw_only=True)
class DraftWish:
    """What a client wants to see before it is committed."""

    mode: str = "off"  # "off" | "text" | "tokens"; "whole" is Mercury's: text that replaces
    interval: float = 1 / 30  # seconds between frames, at least


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What `Service.answer` needs to know about a request."""

    model: str
    fingerprint: str
    dialect: Dialect
    starts: Sequence[Start]
    weight: int | None = None  # choices it counts as in the queue; None: one per start
    compiles: bool = False  # starting compiles a constraint, which may take seconds
    num_per_prompt: int = 1  # choices that share a prompt, which counts once in `usage`
    warnings: Sequence[str] = ()
    is_stream: bool = False
    drafts: DraftWish = DraftWish()
    includes_usage: bool = False
    usage_in_every_chunk: bool = False
    created: int = field(default_factory=lambda: int(time.time()))
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def reply(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """The whole reply to a request that does not stream."""
        choices = [self.dialect.choice(i, reply) for i, reply in enumerate(replies)]
        body = self._frame(self.dialect.name, choices)
        return {**body, "seed": replies[0].seed, "usage": self.usage(replies), "warnings": self.all_warnings(replies)}

    def chunk(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {**self._frame(self.dialect.chunk_name, choices), **more}

    def usage(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """OpenAI's usage, with what diffusion cost in a key of its own."""
        prompt_tokens = sum(reply.usage.prompt_tokens for reply in replies[:: self.num_per_prompt])
        completion_tokens = sum(reply.usage.completion_tokens for reply in replies)
        passes = sum(reply.usage.forward_passes for reply in replies)
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "diffusion": {
                "forward_passes": passes,
                "denoising_steps": sum(reply.usage.denoising_steps for reply in replies),
                "canvases": sum(reply.usage.canvases for reply in replies),
                "tokens_per_forward": completion_tokens / passes if passes else 0.0,
                "converged": [list(reply.usage.converged) for reply in replies],
                "seconds": max(reply.usage.seconds for reply in replies),
            },
        }

    def all_warnings(self, replies: Sequence[Reply]) -> list[str]:
        """The request's own and the replies', each once."""
        return list(dict.fromkeys((*self.warnings, *(text for reply in replies for text in reply.warnings))))

    def _frame(self, name: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"{'chatcmpl' if name.startswith('chat') else 'cmpl'}-{self.id}",
            "object": name,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        }
