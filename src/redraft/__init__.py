"""Run, steer, serve and train text-diffusion language models.

Import is cheap: names load on first use (PEP 562), and torch comes with the first model.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "Choice",
    "Commit",
    "DeadlineExceeded",
    "Decision",
    "Draft",
    "Engine",
    "Finish",
    "Free",
    "Infill",
    "InvalidRequest",
    "JSONSchema",
    "LoadError",
    "ModelFailure",
    "OutOfMemory",
    "Overloaded",
    "RedraftError",
    "Regex",
    "Reply",
    "Rules",
    "SamplingParams",
    "Template",
    "TokenLogprob",
    "Tokens",
    "ToolCall",
    "Usage",
    "generate_plain",
    "load",
    "load_model",
]

# module: the public names it defines
_DEFINED_IN = {
    "redraft.engine.loading": ("load",),
    "redraft.engine.engine": ("Engine",),
    "redraft.checkpoint.load": ("load_model",),
    "redraft.diffusion.plain": ("generate_plain", "Rules"),
    "redraft.config": ("SamplingParams",),
    "redraft.reply": ("Commit", "Decision", "Draft", "Finish", "Reply", "TokenLogprob", "ToolCall", "Usage"),
    "redraft.errors": (
        "Cancelled",
        "DeadlineExceeded",
        "InvalidRequest",
        "LoadError",
        "ModelFailure",
        "OutOfMemory",
        "Overloaded",
        "RedraftError",
    ),
    "redraft.constraints.spec": ("Choice", "Free", "Infill", "JSONSchema", "Regex", "Template", "Tokens"),
}
_HOME = {name: module for module, names in _DEFINED_IN.items() for name in names}

if TYPE_CHECKING:
    from redraft.checkpoint.load import load_model
    from redraft.config import SamplingParams
    from redraft.constraints.spec import Choice, Free, Infill, JSONSchema, Regex, Template, Tokens
    from redraft.diffusion.plain import Rules, generate_plain
    from redraft.engine.engine import Engine
    from redraft.engine.loading import load
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
    from redraft.reply import Commit, Decision, Draft, Finish, Reply, TokenLogprob, ToolCall, Usage


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'redraft' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return [*__all__, "__version__"]
