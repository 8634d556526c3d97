"""`redraft fill` and `redraft edit`: a model writes in a file. The diff is shown; `--write` applies it."""

from pathlib import Path

import click

from redraft.cli.document import Document, diff, fill_line, fill_marks, place_of, read_document, write_document
from redraft.cli.options import EngineArguments, engine_options, sampling_options
from redraft.cli.output import make_console, show_figures
from redraft.config import SamplingParams

write_option = click.option("--write", is_flag=True, help="Apply the change to the file.")


@click.command(short_help="Write at a place in a file, seeing both sides.")
@click.argument("place", metavar="FILE[:LINE]")
@write_option
@engine_options
@sampling_options("ignore_eos", "top_k", "top_p", "min_tokens", "decoding")
def fill(place: str, write: bool, engine_arguments: EngineArguments, params: SamplingParams) -> None:
    """Infill a new line before LINE, or every __FILL__ mark of FILE from top to bottom, each seeing the results above.

    Prints a diff; --write applies it.
    """
    path, line = place_of(place)
    old, console = read_document(path), make_console()
    replies = []

    def infill(before: str, after: str) -> str:
        replies.append(engine.fill(before, after, params))
        return replies[-1].text

    with engine_arguments.load() as engine:
        new = fill_marks(old.text, infill) if line is None else fill_line(old.text, line, infill)
    _show(path, old, new, write)
    for reply in replies:
        show_figures(reply, console)


@click.command(short_help="Rewrite a file as an instruction says.")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("instruction")
@click.option("--strength", type=float, default=0.5, show_default=True, help="0 keeps the text, 1 rewrites it all.")
@write_option
@engine_options
@sampling_options("ignore_eos", "decoding")
def edit(
    file: Path,
    instruction: str,
    strength: float,
    write: bool,
    engine_arguments: EngineArguments,
    params: SamplingParams,
) -> None:
    """Rewrite FILE as INSTRUCTION says, starting from its text. Prints a diff; --write applies it."""
    old = read_document(file)
    with engine_arguments.load() as engine:
        reply = engine.edit(old.text, instruction, params, strength=strength)
    _show(file, old, reply.text, write)
    show_figures(reply, make_console())


def _show(path: Path, old: Document, new: str, write: bool) -> None:
    """Prints the diff, coloured on a terminal, and writes the file where asked to."""
    from redraft.visualize.terminal import printable

    console = make_console()
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in diff(str(path), old.text, new):
        if console.is_terminal:
            console.print(printable(line), style=styles.get(line[:1], ""), soft_wrap=True)
        else:
            click.echo(line)
    if old.text == new:
        click.echo(f"{path}: no change", err=True)
    elif write:
        write_document(path, old.with_text(new))
        click.echo(f"{path}: written", err=True)
