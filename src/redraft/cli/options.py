"""Options that many commands share, read off the frozen configs: a new field is an option at once."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from typing import TYPE_CHECKING, Any, get_args, get_origin

import click

import redraft
from redraft.checkpoint.fetch import shipped_models
from redraft.cli.output import waiting
from redraft.config import EngineConfig, SamplingParams, range_of

if TYPE_CHECKING:
    from redraft.engine.engine import Engine

# Fields that a command sets itself: a constraint has its own commands, a trace its own option.
_NOT_SAMPLING_OPTIONS = ("constraint", "record_trace")

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object per result, for scripts.")


@dataclass(frozen=True)
class EngineArguments:
    """Which model a command uses and how it is loaded."""

    model: str
    options: Mapping[str, Any]

    def load(self) -> "Engine":
        """The engine; heavy imports happen here."""
        with waiting(f"loading {self.model} ..."):
            return redraft.load(self.model, **self.options)


def default_model() -> str:
    """redraft-mini where it is shipped, else redraft-sudoku."""
    return "redraft-mini" if "redraft-mini" in shipped_models() else "redraft-sudoku"


def sampling_options(*without: str) -> Callable:
    """One option per field of SamplingParams; the command receives `params`, made and checked."""
    chosen = [field for field in fields(SamplingParams) if field.name not in (*_NOT_SAMPLING_OPTIONS, *without)]

    def decorate(command: Callable) -> Callable:
        def run(values: dict[str, Any]) -> dict[str, Any]:
            return {"params": SamplingParams(**values)}

        return _with_options(command, [(field, _help(field)) for field in chosen], run)

    return decorate


def model_option(command: Callable, model: str | None = None) -> Callable:
    """`-m/--model`, else $REDRAFT_MODEL, else `model`, else the shipped one; the command receives `model`."""
    return click.option(
        "-m",
        "--model",
        envvar="REDRAFT_MODEL",
        show_envvar=True,
        default=model or default_model,
        show_default=model or "redraft-mini, redraft-sudoku until it ships",
        help="Shipped model, directory or hub id (org/name, org/name@revision).",
    )(command)


def engine_options(command: Callable, model: str | None = None) -> Callable:
    """Options of model and adapter, and one per field of EngineConfig; the command receives `engine_arguments`.

    `model`: the default where it is the one shipped for the task.
    """

    def run(values: dict[str, Any]) -> dict[str, Any]:
        name = values.pop("model")
        return {"engine_arguments": EngineArguments(name, values)}

    described = [(field, f"default {field.default}" if field.default else "") for field in fields(EngineConfig)]
    command = _with_options(command, described, run, extra=("model", "adapter"))
    command = click.option("--adapter", help="LoRA adapter in PEFT's format, a directory or hub id.")(command)
    return model_option(command, model)


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were used; click fills the others with None, False or ()."""
    return {
        name: value
        for name, value in values.items()
        if value is not None and value is not False and value not in ((), {})
    }


def _with_options(command: Callable, described: Sequence[tuple[Field, str]], run: Callable, extra=()) -> Callable:
    """The command with an option per field; `run` turns their values into the arguments that the command takes."""
    names = {field.name for field, _ in described} | set(extra)

    @functools.wraps(command)
    def wrapper(**values: Any) -> Any:
        ours = given({name: values.pop(name) for name in names if name in values})
        return command(**values, **run(ours))

    for field, text in reversed(described):
        option = f"--{field.name.replace('_', '-')}"
        wrapper = click.option(option, field.name, default=None, help=text or None, **_shape(field))(wrapper)
    return wrapper


def _shape(field: Field) -> dict[str, Any]:
    """What click needs to read a field: its type, and whether it is a switch or may be repeated."""
    kinds = [kind for kind in (get_args(field.type) or (field.type,)) if kind is not type(None)]
    kind = kinds[0]
    outer = get_origin(kind)
    if outer is Mapping:
        return {"multiple": True, "metavar": "ID=BIAS", "callback": lambda _, __, values: dict(map(_bias, values))}
    if outer is not None:
        return {"multiple": True, "type": get_args(kind)[0]}
    if kind is bool:
        return {"is_flag": True}
    return {"type": kind}


def _bias(text: str) -> tuple[int, float]:
    token, _, bias = text.partition("=")
    try:
        return int(token), float(bias)
    except ValueError:
        raise click.BadParameter(f"{text!r}: want ID=BIAS, such as 42=-100") from None


def _help(field: Field) -> str:
    text = range_of(field.name)
    if text is None and not inspect.isclass(field.type):
        text = "may be repeated"
    return text or ("diffusion or autoregressive" if field.type is str else "")
