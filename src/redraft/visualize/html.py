"""One self-contained HTML page per trace: scrubber, confidence shading, and the step at which each position settled.

The script that draws it is the one that draws the page of `redraft serve`.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

from redraft.diffusion.trace import Trace
from redraft.errors import InvalidRequest
from redraft.reply import Commit, Draft, Finish

_FOLDER = Path(__file__).parent
STYLE = (_FOLDER / "canvas.css",)
DRAWING = tuple(_FOLDER / f"{name}.js" for name in ("run", "position", "painter", "player", "charts"))


def page(trace: Trace) -> str:
    """The page of a trace: no other file, no network, no script but its own. Raises InvalidRequest without drafts."""
    if not any(isinstance(event, Draft) for event in trace.events):
        raise InvalidRequest("the trace has no denoising steps: want one recorded with decoding='diffusion'")
    data = {
        "model": trace.model,
        "seed": str(trace.seed),  # may lie above what a script's numbers hold exactly
        "params": {name: value for name, value in trace.params.items() if name not in ("seed", "record_trace")},
        "events": [_plain(event) for event in trace.events if isinstance(event, Draft | Commit)],
        "log_z": _log_z(trace),
    }
    # "<" as an escape: a reply that contains "</script>" must not end the script that holds it.
    encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    title = html.escape(f"{trace.model}, seed {trace.seed}")
    parts = {"style": joined(*STYLE), "script": joined(*DRAWING), "title": title, "data": encoded}
    return filled(_FOLDER / "replay.html", **parts)


def joined(*files: Path) -> str:
    """The texts of files, one after the other."""
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def filled(template: Path, **parts: str) -> str:
    """A file's text with each `{{name}}` replaced by that part, once: what a part holds is not looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template.read_text(encoding="utf-8"))


def _log_z(trace: Trace) -> list[float]:
    """What the constraint cost at each denoising step; empty without one."""
    reports = [event.reply.constraint for event in trace.events if isinstance(event, Finish)]
    return [price for report in reports if report for price in report["log_z"]]


def _plain(event: Draft | Commit) -> dict[str, Any]:
    """An event as a stream carries it."""
    if isinstance(event, Commit):
        return {"text": event.text, "channel": event.channel}
    return {
        "canvas_index": event.canvas_index,
        "denoising_step": event.denoising_step,
        "changed": [(position, text, round(probability, 4)) for position, text, probability in event.changed],
        "accepted": event.accepted,
        "mean_entropy": event.mean_entropy,
        "temperature": event.temperature,
    }
