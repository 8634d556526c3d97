"""How results, figures and errors are printed. Standard output is for results; the rest goes to standard error."""

import json
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import click

from redraft.config import SamplingParams
from redraft.errors import InvalidRequest, LoadError, OutOfMemory, Overloaded, RedraftError

if TYPE_CHECKING:
    from rich.console import Console

    from redraft.engine.engine import Engine
    from redraft.reply import Reply


def make_console(draws: bool = True) -> "Console":
    """Standard output as rich sees it, text left as it is; `draws` off makes it plain also where it is a terminal."""
    from rich.console import Console

    force = None if draws else False
    return Console(highlight=False, markup=False, emoji=False, legacy_windows=False, force_terminal=force)


def figures(reply: "Reply", separator: str, num_steps: int | None = None) -> str:
    """What a reply cost, in one line: `1 canvas · 19/48 steps · 212 tok · 1.2 s · 177 tok/s · 11.1 tok/pass`.

    `num_steps` is the step limit of one canvas; steps are the sum over canvases. Decoded left to right there are none.
    Under a constraint the line ends in its price at the last step.
    """
    usage = reply.usage
    parts = []
    if usage.canvases:
        limit = f"/{num_steps * usage.canvases}" if num_steps else ""
        parts.append(f"{usage.canvases} canvas{'es' if usage.canvases > 1 else ''}")
        parts.append(f"{usage.denoising_steps}{limit} steps")
    parts.append(f"{usage.completion_tokens} tok")
    parts.append(f"{usage.seconds:.1f} s")
    parts.append(f"{usage.completion_tokens / max(usage.seconds, 1e-9):.0f} tok/s")
    parts.append(f"{usage.tokens_per_forward:.1f} tok/pass")
    if reply.constraint and reply.constraint["log_z"]:
        parts.append(f"log_z {reply.constraint['log_z'][-1]:.1f}")
    if reply.finish_reason == "length":
        parts.append("cut at max_tokens")
    return separator.join(parts)


def step_limit(engine: "Engine", params: SamplingParams) -> int | None:
    """Denoising steps that a canvas may take under these params; None for decoding left to right."""
    return params.resolved(engine.intake.defaults).max_denoising_steps


def show_figures(reply: "Reply", console: "Console", num_steps: int | None = None) -> None:
    """One grey line below an answer on a terminal; nothing where output is piped. Warnings go to standard error."""
    from redraft.visualize.terminal import glyphs_for

    for warning in reply.warnings:
        note(f"warning: {warning}")
    if console.is_terminal:
        console.print(figures(reply, glyphs_for(console).separator, num_steps), style="dim", soft_wrap=True)


def play_live(
    engine: "Engine", prompt: Any, params: SamplingParams, console: "Console", thinking: bool = False
) -> "Reply":
    """Draws a reply to a prompt or to chat messages while it forms, its figures below; Ctrl-C cancels it."""
    from redraft.visualize.terminal import TextPainter, glyphs_for, play

    num_steps = step_limit(engine, params)
    painter = TextPainter(lambda token_id: engine.tokenizer.decode([token_id]), glyphs_for(console))
    reply = play(engine.stream(prompt, params, thinking=thinking), painter, console, num_steps)
    assert reply is not None, "a stream ends with Finish"
    show_figures(reply, console, num_steps)
    return reply


def as_record(value: Any) -> Any:
    """Plain values that JSON can hold, from the frozen records of redraft.reply; unset fields are left out."""
    if is_dataclass(value):
        items = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: as_record(item) for name, item in items if item is not None}
    if isinstance(value, Mapping):
        return {str(key): as_record(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_record(item) for item in value]
    return value


def print_json(value: Any) -> None:
    """One line of JSON on standard output."""
    click.echo(json.dumps(as_record(value), ensure_ascii=False))


def note(text: str) -> None:
    """One line on standard error."""
    click.echo(text, err=True)


@contextmanager
def waiting(text: str):
    """Says on a terminal's standard error what the user waits for, and clears the line when it is there."""
    shows = sys.stderr.isatty()
    if shows:
        click.echo(text, err=True, nl=False)
    try:
        yield
    finally:
        if shows:
            click.echo("\r" + " " * len(text) + "\r", err=True, nl=False)


def next_command(error: Exception, command: str) -> str | None:
    """What to try after an error, where one thing is known to help."""
    if isinstance(error, InvalidRequest | click.UsageError):
        return f"redraft {command} --help".replace("  ", " ")
    if isinstance(error, OutOfMemory):
        return "redraft check MODEL, then a smaller --max-context or --max-tokens"
    if isinstance(error, LoadError) and command != "check":
        return "redraft check"
    if isinstance(error, Overloaded):
        return "the same again in a moment"
    return None


def exit_code(error: Exception) -> int:
    """2 where the request was wrong, 1 where something failed."""
    if isinstance(error, click.ClickException):
        return error.exit_code
    return 2 if isinstance(error, InvalidRequest) else 1


def show_error(error: Exception, command: str) -> None:
    """`error: ...` and, where one is known, the next command to try."""
    message = error.format_message() if isinstance(error, click.ClickException) else str(error)
    if not message and isinstance(error, RedraftError):
        message = type(error).__name__
    note("error: " + " ".join(message.split()))
    hint = next_command(error, command)
    if hint:
        note(f"try: {hint}")
