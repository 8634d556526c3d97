"""`redraft replay`: a recorded run again, step by step."""

from pathlib import Path

import click

from redraft.cli.output import make_console, show_figures


@click.command(short_help="Watch a recorded run again.")
@click.argument("trace", type=click.Path(dir_okay=False))
@click.option("--fps", type=click.FloatRange(0.1, 1000), default=8, show_default=True, help="Denoising steps a second.")
@click.option("--html", "page_file", type=click.Path(dir_okay=False), help="Write one page with a scrubber instead.")
def replay(trace: str, fps: float, page_file: str | None) -> None:
    """Draw the run in the file TRACE, which `redraft generate --trace` writes. Piped, it prints the text alone."""
    from redraft.diffusion.trace import Trace
    from redraft.reply import Commit
    from redraft.visualize.canvas import texts_in
    from redraft.visualize.terminal import TextPainter, glyphs_for, is_live, paced, play

    record, console = Trace.load(trace), make_console()
    if page_file:
        from redraft.visualize.html import page

        Path(page_file).write_text(page(record), encoding="utf-8")
        return
    if not is_live(console):
        click.echo("".join(event.text for event in record.events if isinstance(event, Commit)))
        return
    painter = TextPainter(texts_in(record.events), glyphs_for(console))
    num_steps = record.params.get("max_denoising_steps")
    reply = play(paced(record.events, 1 / fps), painter, console, num_steps)
    if reply is not None:
        show_figures(reply, console, num_steps)
