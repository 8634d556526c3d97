"""A benchmark's result: tables for people, one JSON line for scripts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from redraft.benchmark.machine import Machine
from redraft.benchmark.measure import MANY, Delivery, Pace, StepTime

_AT_ONCE = f", {MANY} at once"


@dataclass(frozen=True, kw_only=True)
class CaseReport:
    """What was measured of one model. Times are milliseconds per denoising step and request."""

    name: str
    model: str  # as in Reply.model, of the first of our sides
    workload: str
    canvas_length: int
    prompt_tokens: int  # of the timed prompt
    prefill_ms: float
    peak_memory: int  # bytes, before any other side is loaded; of the process on a CPU, so of all cases so far
    steps: Mapping[str, StepTime]
    implementations: Mapping[str, float]  # of transformers that were tried; the fastest took part
    breakdown: Mapping[str, Mapping[str, float]]  # by side, then by component
    floor_breakdown: Mapping[str, float]  # bare products by component
    deliveries: Mapping[str, Delivery]
    paces: Sequence[Pace]
    ratios: Mapping[str, float] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "ratios", _ratios({name: time.best for name, time in self.steps.items()}))

    def to_text(self) -> str:
        """A few short tables, at most 80 columns wide."""
        head = f"{self.name}: canvas {self.canvas_length}, prompt {self.prompt_tokens} ({self.workload})"
        parts = [self._step_lines(), self._breakdown_lines(), self._pace_lines(), self._delivery_lines()]
        return "\n\n".join("\n".join(lines) for lines in [[head, self.model], *parts] if lines)

    def _step_lines(self) -> list[str]:
        floor = self.steps["products"].best
        rows = [("ms per denoising step and request", "best", "median", "of products")]
        for name, times in self.steps.items():
            label = {"products": "bare matrix products", "transformers": self._opponent}.get(name, name)
            rows.append((label, f"{times.best:.2f}", f"{times.median:.2f}", f"{times.best / floor:.2f}x"))
        return [*_aligned(rows), *(f"{name}: {value:.2f}" for name, value in self.ratios.items())]

    @property
    def _opponent(self) -> str:
        fastest = min(self.implementations, key=lambda name: self.implementations[name], default="")
        return f"transformers ({fastest})"

    def _breakdown_lines(self) -> list[str]:
        """Components by the most time that one of our sides takes for them; blank where a side has no such part."""
        columns = {**{_short(side): parts for side, parts in self.breakdown.items()}, "products": self.floor_breakdown}
        most = {name: max(parts.get(name, 0.0) for parts in self.breakdown.values()) for name in _names(self.breakdown)}
        rows = [("ms per step of one request, by component", *columns)]
        for component in sorted(most, key=lambda name: -most[name]):
            taken = [parts.get(component) for parts in columns.values()]
            rows.append((component, *("" if each is None else f"{each:.2f}" for each in taken)))
        return _aligned(rows)

    def _pace_lines(self) -> list[str]:
        left_to_right = next(pace for pace in self.paces if pace.steps_per_canvas is None)
        rows = [("tokens per second", "one request", "of l-to-r", f"{MANY} at once", "of l-to-r")]
        for pace in self.paces:
            steps = pace.steps_per_canvas
            label = "left to right" if steps is None else f"{steps} steps per canvas"
            ratios = (pace.one / left_to_right.one, pace.many / left_to_right.many)
            rows.append((label, f"{pace.one:.0f}", f"{ratios[0]:.2f}x", f"{pace.many:.0f}", f"{ratios[1]:.2f}x"))
        return _aligned(rows)

    def _delivery_lines(self) -> list[str]:
        if not self.deliveries:
            return []
        rows = [("delivered under its own rules", "tok/s", "tok/pass", "tokens", "first commit")]
        for name, got in self.deliveries.items():
            figures = (f"{got.tokens_per_second:.0f}", f"{got.tokens_per_forward:.2f}", str(got.tokens))
            rows.append((name, *figures, f"{got.first_commit_seconds:.3f} s"))
        got: Any = self.deliveries["diffusion"]
        per_canvas = got.denoising_steps / got.canvases
        steps = f"{per_canvas:.1f} steps per canvas, {got.converged} of {got.canvases} converged"
        memory = f"prefill {self.prefill_ms:.1f} ms, peak memory {self.peak_memory / 1e9:.2f} GB"
        return [*_aligned(rows), steps, memory]


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run of `redraft bench`, with all that is needed to run it again."""

    command: str
    seed: int
    num_steps: int
    repeats: int
    machine: Machine
    opponents: Mapping[str, str | None]  # their versions; None: not installed
    cases: Sequence[CaseReport]

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    def to_text(self) -> str:
        """The tables of every case."""
        machine = self.machine
        head = [
            f"{machine.device_name}, {machine.num_threads} threads, torch {machine.versions['torch']}",
            f"one canvas and {self.num_steps} steps on every side, best of {self.repeats}, prefill included",
        ]
        others = [
            f"{name} {version}" if version else f"{name}: not installed, not measured"
            for name, version in self.opponents.items()
        ]
        return "\n\n".join(["\n".join([*head, *others]), *(case.to_text() for case in self.cases)])


def _ratios(best: Mapping[str, float]) -> dict[str, float]:
    """What the goals are about: our step over the products, transformers over ours, many at once over one."""
    ours, low = best.get("redraft fp32"), best.get("redraft bf16")
    ratios = {}
    if ours:
        ratios["redraft fp32 over bare products"] = ours / best["products"]
        ratios[f"redraft fp32{_AT_ONCE} over one"] = best[f"redraft fp32{_AT_ONCE}"] / ours
    if low and "transformers" in best:
        ratios["transformers over redraft bf16"] = best["transformers"] / low
    if ours and "transformers" in best:
        ratios["transformers over redraft fp32"] = best["transformers"] / ours
    return ratios


def _names(breakdown: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Every component of any side, once."""
    return list(dict.fromkeys(name for parts in breakdown.values() for name in parts))


def _short(side: str) -> str:
    return side.removeprefix("redraft ").replace(", plain torch", " plain")


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows with their first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
