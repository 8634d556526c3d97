"""One self-contained HTML page per trace: scrubber, confidence shading, and the step at which each position settled."""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redraft.diffusion.trace import Trace
from redraft.errors import InvalidRequest
from redraft.reply import Commit, Draft
from redraft.visualize.canvas import CanvasView, Cell, Look, texts_in

_TEMPLATE = Path(__file__).with_name("replay.html")
_LETTERS = {Look.OPEN: "o", Look.FADED: "d", Look.KEPT: "k", Look.FRESH: "f"}


def page(trace: Trace) -> str:
    """The page of a trace: no other file, no network, no script but its own. Raises InvalidRequest without drafts."""
    canvases = _canvases(trace)
    if not canvases:
        raise InvalidRequest("the trace has no denoising steps: want one recorded with decoding='diffusion'")
    data = {
        "model": trace.model,
        "seed": str(trace.seed),  # may lie above what a script's numbers hold exactly
        "params": {name: value for name, value in trace.params.items() if name not in ("seed", "record_trace")},
        "canvases": canvases,
    }
    # "<" as an escape: a reply that contains "</script>" must not end the script that holds it.
    encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {"title": html.escape(f"{trace.model}, seed {trace.seed}"), "data": encoded}
    return re.sub(r"\{\{(title|data)\}\}", lambda match: parts[match[1]], _TEMPLATE.read_text(encoding="utf-8"))


def settled_steps(frames: Sequence[Sequence[Cell]]) -> list[int]:
    """Per position the first denoising step (from 0) from which it was accepted with its last id, without a break.

    The number of steps where it was not accepted at the last one: the commit decided it.
    """
    settled = []
    for position, final in enumerate(frames[-1]):
        column = [frame[position] for frame in frames]
        held = [cell.token_id == final.token_id and cell.look in (Look.KEPT, Look.FRESH) for cell in column]
        num_held = next((i for i, is_held in enumerate(reversed(held)) if not is_held), len(held))
        settled.append(len(held) - num_held)
    return settled


def _canvases(trace: Trace) -> list[dict[str, Any]]:
    """Per canvas its frames, the settled step of each position, and the text that was committed."""
    view = CanvasView(texts_in(trace.events))
    commits = [event for event in trace.events if isinstance(event, Commit)]
    by_canvas: dict[int, list[Draft]] = {}
    for event in trace.events:
        if isinstance(event, Draft):
            by_canvas.setdefault(event.canvas_index, []).append(event)
    canvases = []
    for number, drafts in enumerate(by_canvas.values()):
        frames = [view.cells(draft) for draft in drafts]
        canvases.append(
            {
                "frames": [_frame(draft, cells) for draft, cells in zip(drafts, frames, strict=True)],
                "probabilities": _probabilities(drafts),
                "settled": settled_steps(frames),
                "text": commits[number].text if number < len(commits) else "",
            }
        )
    return canvases


def _frame(draft: Draft, cells: Sequence[Cell]) -> dict[str, Any]:
    return {
        "texts": [cell.text for cell in cells],
        "looks": "".join(_LETTERS[cell.look] for cell in cells),
        "step": draft.denoising_step,
        "accepted": len(draft.accepted),
        "entropy": round(draft.mean_entropy, 4),
        "temperature": round(draft.temperature, 4),
    }


def _probabilities(drafts: Sequence[Draft]) -> list[list[float]]:
    """Per step and position the probability that the best id had when it became the best one."""
    now = [0.0] * len(drafts[0].token_ids)
    steps = []
    for draft in drafts:
        for position, _, probability in draft.changed:
            now[position] = round(probability, 3)
        steps.append(list(now))
    return steps
