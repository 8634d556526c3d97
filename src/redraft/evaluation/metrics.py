"""Shares and means with their uncertainty, and what a trace says about revision."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from redraft.reply import Draft

NUM_RESAMPLES = 1000

Grade = bool | float | Sequence[bool] | None  # of one reply; None where it does not apply


def wilson(successes: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson interval of a share: 95 % for the default z. (0, 1) without observations."""
    if count == 0:
        return 0.0, 1.0
    share, z2 = successes / count, z * z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def rate(outcomes: Sequence[bool]) -> dict[str, Any]:
    """How many of how many, the share and its 95 % interval: plain values for JSON."""
    return pooled_rate([(outcome,) for outcome in outcomes])


def pooled_rate(groups: Sequence[Sequence[bool]]) -> dict[str, Any]:
    """`rate` over outcomes that come in groups, such as the fields of one reply.

    The interval is Wilson's for as many observations as there are groups: right where the outcomes of a group stand or
    fall together, too wide where they do not.
    """
    successes, count = sum(map(sum, groups)), sum(map(len, groups))
    share = successes / count if count else None
    low, high = wilson((share or 0.0) * len(groups), len(groups))
    return {"successes": successes, "count": count, "share": share, "interval": [low, high]}


def mean(values: Sequence[float]) -> dict[str, Any]:
    """The mean and its 95 % interval by the bootstrap (percentiles of 1,000 resamples, seed 0)."""
    array = np.asarray(values, np.float64)
    picks = np.random.default_rng(0).integers(len(array), size=(NUM_RESAMPLES, len(array)))
    low, high = np.quantile(array[picks].mean(axis=1), (0.025, 0.975))
    return {"mean": float(array.mean()), "count": len(array), "interval": [float(low), float(high)]}


def figure(grades: Iterable[Grade]) -> dict[str, Any] | None:
    """One number for many grades: a rate of booleans (or of groups of them), a mean of numbers; None of nothing."""
    known: list[Any] = [grade for grade in grades if grade is not None]
    if not known:
        return None
    if isinstance(known[0], bool):
        return rate(known)
    return pooled_rate(known) if isinstance(known[0], Sequence) else mean(known)


def figures(rows: Sequence[Mapping[str, Grade]]) -> dict[str, dict[str, Any] | None]:
    """One figure per name in the rows, which have equal names."""
    return {name: figure(row[name] for row in rows) for name in rows[0]} if rows else {}


def by_group(items: Sequence[Any], rows: Sequence[Mapping[str, Grade]]) -> dict[str, Any]:
    """Figures of all rows and of each bucket of their items; and by level, where the items have one."""
    groups: dict[str, list[Mapping[str, Grade]]] = {"all": list(rows)}
    levels: dict[str, list[Mapping[str, Grade]]] = {}
    for item, row in zip(items, rows, strict=True):
        groups.setdefault(item.bucket, []).append(row)
        if item.level is not None:
            levels.setdefault(str(item.level), []).append(row)
    named = {"figures": groups, "curve": levels} if levels else {"figures": groups}
    return {part: {name: figures(group) for name, group in of.items()} for part, of in named.items()}


def num_revoked(drafts: Sequence[Draft], committed: Sequence[int]) -> int:
    """Positions of one canvas accepted at some denoising step whose best token was another than the committed one."""
    revoked = set()
    for draft in drafts:
        revoked |= {p for p in draft.accepted if p < len(committed) and draft.token_ids[p] != committed[p]}
    return len(revoked)
