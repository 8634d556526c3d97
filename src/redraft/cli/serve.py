"""`redraft serve`: HTTP for existing clients, and a web page."""

import logging
from dataclasses import replace
from pathlib import Path

import click

from redraft.checkpoint.fetch import shipped_models
from redraft.cli.options import EngineArguments, engine_options
from redraft.cli.output import note
from redraft.errors import InvalidRequest


@click.command(short_help="Serve HTTP and a web page.")
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--api-key", "api_keys", multiple=True, envvar="REDRAFT_API_KEY", show_envvar=True, help="Ask for a key.")
@click.option("--allowed-host", "allowed_hosts", multiple=True, help="Name that a Host header may hold.")
@click.option("--allowed-origin", "allowed_origins", multiple=True, help="Web origin whose pages may call (CORS).")
@click.option("--max-queue", type=click.IntRange(1), default=64, show_default=True, help="Choices that may wait.")
@click.option("--log-requests", is_flag=True, help="One JSON line per request on standard error.")
@engine_options
def serve(
    models: tuple[str, ...],
    host: str,
    port: int,
    api_keys: tuple[str, ...],
    allowed_hosts: tuple[str, ...],
    allowed_origins: tuple[str, ...],
    max_queue: int,
    log_requests: bool,
    engine_arguments: EngineArguments,
) -> None:
    """Serve MODEL (one or more; without one, -m or the shipped models) until Ctrl-C.

    Speaks OpenAI's API under /v1, infill for editors, typed decisions, and shows a page at /.
    """
    from redraft.server.run import run
    from redraft.server.settings import Settings

    settings = Settings(
        host=host,
        port=port,
        api_keys=api_keys,
        allowed_hosts=allowed_hosts,
        allowed_origins=allowed_origins,
        max_queue=max_queue,
    )
    if log_requests:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    names = list(dict.fromkeys(models or _default(engine_arguments.model)))
    engines = {}
    for name in names:
        shown = Path(name).name if Path(name).is_dir() else name
        if shown in engines:
            raise InvalidRequest(f"MODEL={name!r}: two models are called {shown!r}")
        engines[shown] = replace(engine_arguments, model=name).load()
    run(engines, settings, on_ready=lambda url: _greet(url, list(engines)))


def _default(model: str) -> list[str]:
    """The model that -m or the environment names; the shipped ones where nobody named any."""
    source = click.get_current_context().get_parameter_source("model")
    if source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT"):
        return [model]
    return [model, *(name for name in shipped_models() if name != model)]


def _greet(url: str, names: list[str]) -> None:
    note(f"serving {', '.join(names)}")
    note(f"  page             {url}/")
    note(f"  OpenAI base_url  {url}/v1")
    note(f"  try              curl {url}/v1/models")
    note("Ctrl-C stops")
