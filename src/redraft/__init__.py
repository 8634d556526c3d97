"""Run, steer, serve and train text-diffusion language models.

Import is cheap: names load on first use (PEP 562), and torch comes with the first model.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# public name -> module that defines it
_HOME = {
    "load": "redraft.engine.engine",
    "Engine": "redraft.engine.engine",
    "load_model": "redraft.checkpoint.load",
    "generate_plain": "redraft.diffusion.plain",
    "Rules": "redraft.diffusion.plain",
    "SamplingParams": "redraft.config",
    **{name: "redraft.reply" for name in ("Reply", "Usage", "Draft", "Commit", "Finish", "ToolCall", "TokenLogprob")},
    **{
        name: "redraft.errors"
        for name in (
            "RedraftError",
            "InvalidRequest",
            "LoadError",
            "Overloaded",
            "OutOfMemory",
            "DeadlineExceeded",
            "Cancelled",
            "ModelFailure",
        )
    },
    **{
        name: "redraft.constraints.spec"
        for name in ("Regex", "Choice", "JSONSchema", "Template", "Infill", "Free", "Tokens")
    },
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from redraft.checkpoint.load import load_model
    from redraft.config import SamplingParams
    from redraft.constraints.spec import Choice, Free, Infill, JSONSchema, Regex, Template, Tokens
    from redraft.diffusion.plain import Rules, generate_plain
    from redraft.engine.engine import Engine, load
    from redraft.errors import (
        Cancelled,
        DeadlineExceeded,
        InvalidRequest,
        LoadError,
        ModelFailure,
        OutOfMemory,
        Overloaded,
        RedraftError,
    )
    from redraft.reply import Commit, Draft, Finish, Reply, TokenLogprob, ToolCall, Usage


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'redraft' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return [*__all__, "__version__"]
