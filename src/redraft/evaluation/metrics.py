"""Shares with their uncertainty, and what a trace says about revision."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from redraft.reply import Draft


def wilson(successes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson interval of a share: 95 % for the default z. (0, 1) without observations."""
    if count == 0:
        return 0.0, 1.0
    share, z2 = successes / count, z * z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def rate(outcomes: Iterable[bool]) -> dict[str, Any]:
    """How many of how many, the share and its 95 % interval: plain values for JSON."""
    values = list(outcomes)
    successes = sum(values)
    low, high = wilson(successes, len(values))
    share = successes / len(values) if values else None
    return {"successes": successes, "count": len(values), "share": share, "interval": [low, high]}


def mean(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else None


def num_revoked(drafts: Sequence[Draft], committed: Sequence[int]) -> int:
    """Positions of one canvas accepted at some denoising step whose best token was another than the committed one."""
    revoked = set()
    for draft in drafts:
        revoked |= {p for p in draft.accepted if p < len(committed) and draft.token_ids[p] != committed[p]}
    return len(revoked)
