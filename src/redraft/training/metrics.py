"""What a run says about itself: lines of metrics in its folder, a line of progress for people."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from redraft.errors import LoadError

METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True)
class Progress:
    """One line of metrics: means over the updates since the line before."""

    update: int
    examples: int
    denoise: float
    autoregressive: float
    balance: float
    grad_norm: float
    lr: float
    examples_per_second: float
    tokens_per_second: float  # of prompts and canvases, padding included
    seconds: float  # since the run began, pauses left out
    seconds_left: float | None


def append(folder: Path, progress: Progress) -> None:
    """One more line of metrics; LoadError where the disk takes none."""
    path = folder / METRICS_FILE
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(progress)) + "\n")
    except OSError as error:
        raise LoadError(f"could not write {path} ({error}); the checkpoints in {folder} are as they were") from error


def forget(folder: Path, after: int) -> None:
    """Drops the lines of updates beyond `after`, which come again, and a line that was cut off, in place."""
    path = folder / METRICS_FILE
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["update"] <= after]
        path.write_text("".join(kept), encoding="utf-8")


def progress_line(progress: Progress, unit: str = "examples") -> str:
    """One line for people: where the run is, its losses, its speed, the time left."""
    left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
    return (
        f"update {progress.update}, {progress.examples} {unit}: loss {progress.denoise:.4f}, "
        f"autoregressive {progress.autoregressive:.3f}, {progress.examples_per_second:.1f} {unit}/s, "
        f"{progress.tokens_per_second:,.0f} tokens/s, {duration(progress.seconds)} so far{left}"
    )


def duration(seconds: float) -> str:
    """Hours and minutes, in words; seconds where it is less than one."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
