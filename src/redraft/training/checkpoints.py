"""Checkpoints of a run in its folder: written whole or not at all, the last two kept."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from redraft.errors import LoadError

NUM_KEPT = 2  # the newest and the one before


def save(folder: Path, update: int, state: dict[str, Any]) -> Path:
    """The checkpoint of an update, flushed to the disk and renamed into place.

    Older ones than the one before, and what a killed run left half written, are dropped after that. LoadError where the
    disk does not take it; the checkpoints before are as they were.
    """
    path = folder / f"checkpoint-{update:08d}.pt"
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        free = shutil.disk_usage(folder).free / 2**20
        partial.unlink(missing_ok=True)
        raise LoadError(
            f"could not write {path}, the disk had {free:,.0f} MiB left ({error}); "
            f"the last good checkpoint is {newest(folder)}"
        ) from error
    for old in (*checkpoints(folder)[:-NUM_KEPT], *folder.glob("*.partial")):
        old.unlink()
    return path


def read(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state in a checkpoint file; LoadError where it is damaged."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        others = [str(other) for other in checkpoints(path.parent) if other != path]
        instead = f"; remove it to go on from {others[-1]}" if others else ""
        raise LoadError(f"{path} cannot be read, it may be damaged ({error}){instead}") from error


def newest(folder: Path) -> Path | None:
    """The last checkpoint of a run, None where it has none."""
    return max(checkpoints(folder), default=None)


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints of a run, oldest first."""
    return sorted(folder.glob("checkpoint-*.pt"))


def load_average(path: str | Path) -> dict[str, torch.Tensor]:
    """The averaged weights of a checkpoint file, or of the newest one in a run's folder."""
    path = Path(path)
    if path.is_dir():
        last = newest(path)
        if last is None:
            raise LoadError(f"{path} holds no checkpoint-N.pt")
        path = last
    return read(path)["average"]
