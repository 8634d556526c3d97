"""`redraft run`: a chat in the terminal, the answer denoising in place."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from redraft.cli.options import EngineArguments, engine_options, sampling_options
from redraft.cli.output import make_console, note, play_live, show_error, show_figures, step_limit
from redraft.config import SamplingParams
from redraft.errors import InvalidRequest, RedraftError

if TYPE_CHECKING:
    from rich.console import Console

    from redraft.engine.engine import Engine
    from redraft.reply import Reply

HELP = """\
/OPTION VALUE   change an option for what follows, such as /seed 7 or /max-denoising-steps 12
/options        what is set
/replay         watch the last answer again, slowly
/new            forget the conversation
/exit           leave (Ctrl-D too); Ctrl-C stops an answer"""


@click.command(add_help_option=False)
@sampling_options()
def _settings(params: SamplingParams) -> SamplingParams:
    """Reads the options typed in a chat as the command line reads them."""
    return params


@dataclass
class Chat:
    """One conversation: what was said, what is set, and the last answer with its trace."""

    engine: "Engine"
    console: "Console"
    params: SamplingParams
    thinking: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    last: "Reply | None" = None

    def take(self, line: str) -> bool:
        """Answers a line, or does what it says after a slash; False when the chat is over."""
        if line.startswith("/"):
            return self.command(line)
        if line:
            self.say(line)
        return True

    def say(self, text: str) -> None:
        """One turn; an answer that fails or is stopped leaves the conversation as it was."""
        messages = [*self.messages, {"role": "user", "content": text}]
        self.last = self._answer(messages)
        self.messages = [*messages, {"role": "assistant", "content": self.last.text}]

    def command(self, line: str) -> bool:
        """Runs a line that starts with a slash; False when the chat is over."""
        try:
            name, *values = shlex.split(line[1:]) or ["help"]
        except ValueError as error:
            raise InvalidRequest(f"{line}: {error}") from None
        if name == "exit":
            return False
        if name == "new":
            self.messages = []
        elif name == "replay":
            self._replay()
        elif name == "options":
            set_ones = {key: value for key, value in self.params.as_dict().items() if key != "record_trace"}
            click.echo(", ".join(f"{key} {value}" for key, value in set_ones.items()) or "nothing is set")
        elif name == "help":
            click.echo(HELP)
        else:
            chosen = _settings.main([f"--{name.replace('_', '-')}", *values], standalone_mode=False)
            self.params = SamplingParams.from_dict({**self.params.as_dict(), **chosen.as_dict()})
        return True

    def _answer(self, messages: list[dict[str, Any]]) -> "Reply":
        from redraft.visualize.terminal import is_live

        if is_live(self.console):
            params = replace(self.params, record_trace=True)
            return play_live(self.engine, messages, params, self.console, thinking=self.thinking)
        reply = self.engine.chat(messages, self.params, thinking=self.thinking)
        click.echo(reply.text)
        show_figures(reply, self.console)
        return reply

    def _replay(self) -> None:
        from redraft.visualize.canvas import texts_in
        from redraft.visualize.terminal import TextPainter, glyphs_for, paced, play

        if self.last is None or self.last.trace is None:
            click.echo("there is no answer to replay yet")
            return
        events = self.last.trace.events
        painter = TextPainter(texts_in(events), glyphs_for(self.console))
        play(paced(events, 1 / 8), painter, self.console, step_limit(self.engine, self.params))


@click.command(short_help="Chat with a model.")
@click.argument("chat_model", metavar="[MODEL]", required=False)
@click.option("--thinking", is_flag=True, help="Let the model reason first, where its template knows how.")
@engine_options
@sampling_options()
def run(chat_model: str | None, thinking: bool, engine_arguments: EngineArguments, params: SamplingParams) -> None:
    """Chat with MODEL (a shipped model, a directory or a hub id). Type /help for what a chat understands."""
    if chat_model:
        engine_arguments = replace(engine_arguments, model=chat_model)
    is_typed = sys.stdin.isatty()
    with engine_arguments.load() as engine:
        if engine.intake.template is None:
            raise InvalidRequest(
                f"{engine_arguments.model} has no chat template: want one that has, or redraft generate"
            )
        chat = Chat(engine, make_console(), params, thinking)
        if is_typed:
            import readline  # noqa: F401 (line editing and history for input())

            note(f"{engine.label}, /help for help")
        turn = _forgiving(chat.take) if is_typed else chat.take
        while (line := _read_line(is_typed)) is not None and turn(line):
            pass


def _forgiving(turn: Callable[[str], bool]) -> Callable[[str], bool]:
    """The same turn for someone who types: what goes wrong is said, and the chat goes on."""

    def safely(line: str) -> bool:
        try:
            return turn(line)
        except (RedraftError, click.ClickException) as error:
            show_error(error, "run")
        except KeyboardInterrupt:
            note("stopped")
        return True

    return safely


def _read_line(is_typed: bool) -> str | None:
    """The next line, without the spaces around it; None at the end of the input."""
    try:
        return input(">>> " if is_typed else "").strip()
    except EOFError:
        return None
