"""`redraft solve` and `redraft ask`: replies held to a constraint, and typed decisions."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

import click

from redraft.cli.options import EngineArguments, engine_options, json_option, sampling_options
from redraft.cli.output import make_console, play_live, print_json, show_figures
from redraft.config import SamplingParams
from redraft.errors import InvalidRequest

if TYPE_CHECKING:
    from redraft.constraints.spec import TextConstraint
    from redraft.reply import Decision


@click.command(short_help="Text that fulfils a constraint, exactly.")
@click.argument("prompt", default="")
@click.option("--regex", metavar="PATTERN", help="Python's re syntax, matched from end to end.")
@click.option("--json-schema", type=click.File(encoding="utf-8"), help="A JSON Schema.")
@click.option("--template", type=click.File(encoding="utf-8"), help="A text with holes such as {name}.")
@click.option("--hole", "holes", multiple=True, metavar="NAME=PATTERN", help="A template's hole; any text without it.")
@click.option("--choice", metavar="A,B,C", help="One of these.")
@json_option
@engine_options
@sampling_options("stop", "ignore_eos", "top_k", "top_p", "min_tokens")
def solve(
    prompt: str,
    regex: str | None,
    json_schema: IO[str] | None,
    template: IO[str] | None,
    holes: Sequence[str],
    choice: str | None,
    as_json: bool,
    engine_arguments: EngineArguments,
    params: SamplingParams,
) -> None:
    """Continue PROMPT with a text that fulfils the constraint: every reply does, whatever the model.

    Wants one of --regex, --json-schema, --template, --choice.
    """
    from redraft.visualize.terminal import is_live

    given = [value for value in (regex, json_schema, template, choice) if value is not None]
    if len(given) != 1:
        raise click.UsageError("want one of --regex, --json-schema, --template, --choice")
    if holes and template is None:
        raise click.UsageError("--hole goes with --template")
    constraint = _constraint(regex, json_schema, template, holes, choice)
    constraint.check()
    console = make_console(draws=not as_json)
    with engine_arguments.load() as engine:
        if is_live(console):
            play_live(engine, prompt, replace(params, constraint=constraint), console)
            return
        reply = engine.solve(constraint, prompt, params)
    if as_json:
        print_json(reply)
    else:
        click.echo(reply.text)
        show_figures(reply, console)


def _constraint(
    regex: str | None, schema: IO[str] | None, template: IO[str] | None, holes: Sequence[str], choice: str | None
) -> "TextConstraint":
    from redraft.constraints.spec import Choice, JSONSchema, Regex, Template

    if regex is not None:
        return Regex(regex)
    if schema is not None:
        return JSONSchema(_read_json(schema))
    if template is not None:
        text = template.read()
        return Template(text, holes=_holes(text, holes))
    return Choice(str(choice).split(","))


def _holes(text: str, patterns: Sequence[str]) -> dict[str, Any]:
    """A constraint for each hole of a template: its pattern where one is given, any text where not."""
    from redraft.constraints.spec import Free, Regex
    from redraft.constraints.template_text import Hole, parse_template

    named: dict[str, Any] = {part.name: Free() for part in parse_template(text) if isinstance(part, Hole)}
    for pattern in patterns:
        name, equals, expression = pattern.partition("=")
        if not equals:
            raise click.BadParameter(f"{pattern!r}: want NAME=PATTERN", param_hint="--hole")
        named[name] = Regex(expression)
    return named


@click.command(short_help="Typed decisions with probabilities.")
@click.argument("state", type=click.File(encoding="utf-8"))
@click.argument("questions", type=click.File(encoding="utf-8"))
@click.option("--reads", type=click.IntRange(1), default=1, show_default=True, help="Denoising passes to average.")
@json_option
@engine_options
def ask(state: IO[str], questions: IO[str], reads: int, as_json: bool, engine_arguments: EngineArguments) -> None:
    """Decide the questions of the file QUESTIONS about the JSON of the file STATE, one denoising pass for each read.

    QUESTIONS maps names to {"type": "predicate", "choice" or "score", "instructions", "criteria"}. The probabilities
    are the model's own and not calibrated.
    """
    about, asked = _read_json(state), _read_json(questions)
    with engine_arguments.load() as engine:
        decisions = engine.decide(about, asked, reads=reads)
    if as_json:
        print_json(decisions)
        return
    for name, decision in decisions.items():
        click.echo(f"{name}: {_shown(decision)}")


def _shown(decision: "Decision") -> str:
    ranked = sorted(decision.probabilities.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{label} {probability:.0%}" for label, probability in ranked[:5])
    return f"{decision.label} ({shares}; confidence {decision.confidence:.2f}, mass {decision.mass:.2g})"


def _read_json(file: IO[str]) -> Any:
    try:
        return json.load(file)
    except ValueError as error:
        raise InvalidRequest(f"{file.name}: not JSON ({error})") from None
