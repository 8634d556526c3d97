"""A benchmark's result: a table for people, one JSON line for scripts."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from redraft.benchmark.machine import Machine
from redraft.benchmark.measure import Delivery, StepTime


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run of `redraft bench`, with all that is needed to run it again."""

    command: str
    model: str  # as in Reply.model
    workload: str
    seed: int
    num_steps: int
    repeats: int
    canvas_length: int
    prompt_tokens: int  # of the timed prompt
    machine: Machine
    opponents: Mapping[str, str | None]  # name: version, None where it is not installed
    steps: Mapping[str, StepTime]
    prefill_ms: float
    deliveries: Mapping[str, Delivery]
    peak_memory: int  # bytes, ours alone

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    def to_text(self) -> str:
        """A few short tables, at most 80 columns wide."""
        head = (
            f"{self.model}, {self.workload} prompts",
            f"{self.machine.device_name}, {self.machine.num_threads} threads, torch {self.machine.versions['torch']}",
        )
        lines = [*head, "", *self._step_lines(), "", *self._delivery_lines(), "", *self._closing_lines()]
        return "\n".join(lines)

    def _step_lines(self) -> list[str]:
        floor = self.steps["products"].best
        rows = [("ms per denoising step", "best", "median", "of products")]
        for name, times in self.steps.items():
            rows.append((_SIDES[name], f"{times.best:.2f}", f"{times.median:.2f}", f"{times.best / floor:.2f}x"))
        missing = [
            f"{name}: not installed, not measured" for name, version in self.opponents.items() if version is None
        ]
        note = f"one canvas of {self.canvas_length} and {self.num_steps} steps on every side, best of {self.repeats}"
        return [*_aligned(rows), *missing, note]

    def _delivery_lines(self) -> list[str]:
        rows = [("delivered", "tok/s", "tok/pass", "tokens", "first commit")]
        for name, got in self.deliveries.items():
            rows.append(
                (
                    name,
                    f"{got.tokens_per_second:.0f}",
                    f"{got.tokens_per_forward:.2f}",
                    str(got.tokens),
                    f"{got.first_commit_seconds:.2f} s",
                )
            )
        return _aligned(rows)

    def _closing_lines(self) -> list[str]:
        got: Any = self.deliveries.get("diffusion")
        return [
            f"{got.denoising_steps / got.canvases:.1f} steps per canvas, {got.converged} of {got.canvases} converged",
            f"prefill of {self.prompt_tokens} tokens {self.prefill_ms:.1f} ms, "
            f"peak memory {self.peak_memory / 1e9:.2f} GB",
        ]


_SIDES = {"redraft": "redraft", "products": "bare matrix products", "transformers": "transformers"}


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
