"""`redraft generate`: continue one prompt, or every line of a file."""

import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from redraft.cli.options import EngineArguments, engine_options, json_option, sampling_options
from redraft.cli.output import as_record, make_console, note, play_live, print_json, show_figures
from redraft.config import SamplingParams
from redraft.errors import InvalidRequest, RedraftError

if TYPE_CHECKING:
    from redraft.engine.engine import Engine
    from redraft.reply import Reply

NUM_THREADS = 16  # requests of a file that are in the engine at a time; more than a batch, so that none of it idles


@click.command(short_help="Continue a prompt, or a file of prompts.")
@click.argument("prompt", required=False)
@click.option("--input", "source", type=click.File(encoding="utf-8"), help="Prompts, one JSON object per line.")
@click.option("--out", type=click.Path(dir_okay=False), help="Replies of --input, one JSON object per line.")
@click.option("--trace", "trace_file", type=click.Path(dir_okay=False), help="Record the run for `redraft replay`.")
@json_option
@engine_options
@sampling_options()
def generate(
    prompt: str | None,
    source: IO[str] | None,
    out: str | None,
    trace_file: str | None,
    as_json: bool,
    engine_arguments: EngineArguments,
    params: SamplingParams,
) -> int | None:
    """Continue PROMPT (- reads it from standard input).

    With --input, each line is {"prompt" or "messages", "params"?, "id"?}; its reply has the same id and comes in the
    same order. Options given here hold for every line that does not set them. A bad line is reported by its number
    and the others go on.
    """
    if (prompt is None) == (source is None):
        raise click.UsageError("want a PROMPT or --input FILE, one of them")
    if source is not None:
        if trace_file:
            raise click.UsageError("--trace records one prompt: leave out --input")
        return _generate_file(source, out, engine_arguments, params)
    if out:
        raise click.UsageError("--out goes with --input: use > FILE for one reply")
    text = sys.stdin.read() if prompt == "-" else str(prompt)
    params = replace(params, record_trace=True) if trace_file else params
    with engine_arguments.load() as engine:
        reply = _show_reply(engine, text, params, as_json)
    if trace_file:
        reply.trace.save(trace_file)
    return None


def _show_reply(engine: "Engine", prompt: str, params: SamplingParams, as_json: bool) -> "Reply":
    """Prints one reply: as JSON, as bare text where output is piped, else live with its figures below."""
    from redraft.visualize.terminal import is_live

    console = make_console(draws=not as_json)
    if is_live(console):
        return play_live(engine, prompt, params, console)
    reply = engine.generate(prompt, params)
    if as_json:
        print_json(replace(reply, trace=None))
    else:
        click.echo(reply.text)
        show_figures(reply, console)
    return reply


def _generate_file(source: IO[str], out: str | None, arguments: EngineArguments, params: SamplingParams) -> int:
    """Writes a reply or an error for every line, in order; 1 where there was an error."""
    target = Path(out).open("w", encoding="utf-8") if out else nullcontext(sys.stdout)  # noqa: SIM115
    with target as sink, arguments.load() as engine, ThreadPoolExecutor(NUM_THREADS) as pool:
        lines = [(number, line) for number, line in enumerate(source, start=1) if line.strip()]
        records = [(number, pool.submit(_answer, engine, line, params)) for number, line in lines]
        try:
            return _write(((number, record.result()) for number, record in records), sink)
        except BaseException:  # Ctrl-C too: what still waits must not start
            pool.shutdown(wait=False, cancel_futures=True)
            engine.close()
            raise


def _write(records: Iterable[tuple[int, dict[str, Any]]], sink: IO[str]) -> int:
    """Writes each record as it comes, errors with their line number; 1 where there was an error."""
    status = 0
    for number, record in records:
        if "error" in record:
            note(f"line {number}: {record['error']}")
            record, status = {**record, "line": number}, 1
        sink.write(json.dumps(record, ensure_ascii=False) + "\n")
        sink.flush()
    return status


def _answer(engine: "Engine", line: str, params: SamplingParams) -> dict[str, Any]:
    """The record written for one line: its id, and the reply's fields or an error."""
    head = {}
    try:
        request = _parse(line)
        head = {"id": request["id"]} if "id" in request else {}
        _check(request)
        own = SamplingParams.from_dict({**params.as_dict(), **request.get("params", {})})
        if "messages" in request:
            reply = engine.chat(request["messages"], own)
        else:
            reply = engine.generate(request["prompt"], own)
        return {**head, **as_record(reply)}
    except RedraftError as error:
        return {**head, "error": str(error)}


def _parse(line: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"not JSON ({error})") from None
    if not isinstance(request, dict):
        raise InvalidRequest(f"{line.strip()[:80]}: want a JSON object")
    return request


def _check(request: dict[str, Any]) -> None:
    unknown = request.keys() - {"prompt", "messages", "params", "id"}
    if unknown:
        raise InvalidRequest(f"unknown key {min(unknown)!r}: want prompt, messages, params, id")
    if ("prompt" in request) == ("messages" in request):
        raise InvalidRequest('want "prompt" or "messages", one of them')
    if not isinstance(request.get("params", {}), dict):
        raise InvalidRequest(f"params={request['params']!r}: want an object")
