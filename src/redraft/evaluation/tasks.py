"""Tasks: prompts from a seed, and a grade for each reply."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redraft.evaluation.metrics import mean, num_revoked, rate
from redraft.evaluation.sudoku import faults
from redraft.reply import Draft, Reply
from redraft.training.sudoku import NUM_CELLS, dig, is_held_out, random_grid


@dataclass(frozen=True)
class Item:
    """One question: its prompt, the answer wanted, and the bucket it is counted in."""

    prompt: str
    answer: str
    bucket: str


class Task(Protocol):
    """What `evaluate` runs."""

    @property
    def name(self) -> str: ...

    def items(self, count: int, seed: int) -> list[Item]:
        """`count` items per bucket, the same for the same arguments."""
        ...

    def summary(self, items: Sequence[Item], replies: Sequence[Reply]) -> dict[str, Any]:
        """Figures of some items and their replies (with traces), as plain values."""
        ...


@dataclass(frozen=True)
class SudokuTask:
    """Puzzles with one solution from grid classes that training never saw, in buckets by number of givens."""

    name: str = "sudoku"
    buckets: tuple[tuple[int, int], ...] = ((24, 25), (26, 29), (30, 46))

    def items(self, count: int, seed: int) -> list[Item]:
        rng = random.Random(f"sudoku task {seed}")
        return [self._item(rng, low, high) for low, high in self.buckets for _ in range(count)]

    def _item(self, rng: random.Random, low: int, high: int) -> Item:
        givens = rng.randint(low, high)
        while True:
            grid = random_grid(rng)
            if not is_held_out(grid):
                continue
            rank = dig(grid, rng, min_givens=givens)
            if sum(place == NUM_CELLS for place in rank) == givens:
                clues = "".join("." if p < NUM_CELLS else str(digit) for p, digit in zip(rank, grid, strict=True))
                return Item(clues, "".join(map(str, grid)), f"{low}-{high} givens")

    def summary(self, items: Sequence[Item], replies: Sequence[Reply]) -> dict[str, Any]:
        """Boards solved, clues kept, right cells; denoising steps, and positions whose accepted token was revised."""
        pairs = list(zip(items, replies, strict=True))
        return {
            "solved": rate(reply.text == item.answer for item, reply in pairs),
            "valid": rate(not faults(item.prompt, reply.text) for item, reply in pairs),
            "clues_kept": mean(_share_kept(item.prompt, reply.text) for item, reply in pairs),
            "cells_right": mean(_share_equal(item.answer, reply.text) for item, reply in pairs),
            "denoising_steps": mean(reply.usage.denoising_steps for reply in replies),
            "converged": rate(all(reply.usage.converged) for reply in replies),
            "revoked_cells": mean(_revoked(reply) for reply in replies),
            "seconds": mean(reply.usage.seconds for reply in replies),
        }


def _share_kept(clues: str, answer: str) -> float:
    given = [i for i, clue in enumerate(clues) if clue != "."]
    return sum(answer[i : i + 1] == clues[i] for i in given) / len(given)


def _share_equal(wanted: str, answer: str) -> float:
    return sum(a == b for a, b in zip(wanted, answer, strict=False)) / len(wanted)


def _revoked(reply: Reply) -> int:
    drafts = [event for event in reply.trace.events if isinstance(event, Draft)]
    return num_revoked(drafts, reply.token_ids)
