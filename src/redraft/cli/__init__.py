"""The `redraft` command: arguments and printing, no logic. Nothing heavy is imported before a command needs it."""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from redraft import __version__
from redraft.cli.output import exit_code, show_error
from redraft.errors import RedraftError

# command: (module and attribute, what help says about it). Imported when the command runs or shows its own help.
COMMANDS = {
    "demo": ("redraft.cli.demo:demo", "watch the shipped models work on real input"),
    "generate": ("redraft.cli.generate:generate", "continue a prompt, or a file of prompts"),
    "run": ("redraft.cli.chat:run", "chat with a model"),
    "fill": ("redraft.cli.change:fill", "write at a place in a file, seeing both sides"),
    "edit": ("redraft.cli.change:edit", "rewrite a file as an instruction says"),
    "solve": ("redraft.cli.solve:solve", "text that fulfils a constraint, exactly"),
    "ask": ("redraft.cli.solve:ask", "typed decisions with probabilities"),
    "serve": ("redraft.cli.serve:serve", "HTTP for existing clients, and a web page"),
    "check": ("redraft.cli.check:check", "this machine, and whether a model fits it"),
    "replay": ("redraft.cli.replay:replay", "watch a recorded run again"),
    "train": ("redraft.cli.train:train", "train a model from a recipe"),
    "eval": ("redraft.cli.eval:evaluate", "grade a model on questions training never saw"),
    "bench": ("redraft.cli.bench:bench", "measure speed against bare products and transformers"),
}

WELCOME = """\
redraft {version}: run, steer, serve and train text-diffusion models

  redraft demo                        watch small models work, here
  redraft generate "def mean(xs):"    continue a prompt
  redraft run                         chat in this terminal
  redraft check                       what this machine can run

all commands: redraft --help"""


class Commands(click.Group):
    """The table above as a click group."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        return getattr(import_module(module), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="redraft")
@click.pass_context
def commands(context: click.Context) -> None:
    """Run, steer, serve and train text-diffusion language models."""
    if context.invoked_subcommand is None:
        click.echo(WELCOME.format(version=__version__))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0 fine, 1 failed, 2 wrong request, 130 cancelled with Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal that is not UTF-8 gets ? for what it cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    command = next((argument for argument in arguments if argument in COMMANDS), "")
    try:
        status = commands.main(arguments, prog_name="redraft", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        click.echo("cancelled", err=True)
        status = 130
    except BrokenPipeError:  # the reader went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except (RedraftError, click.ClickException, OSError) as error:
        show_error(error, command)
        status = exit_code(error)
    sys.exit(status or 0)
