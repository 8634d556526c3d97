"""Sudoku as a task: puzzles of grid classes that training never saw, by number of givens."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from redraft.config import SamplingParams
from redraft.engine.engine import Engine
from redraft.evaluation.metrics import Grade, num_revoked
from redraft.evaluation.sudoku import faults
from redraft.evaluation.tasks import Item, Setting, clean_canvas, left_to_right
from redraft.reply import Draft, Reply
from redraft.training.sudoku import MAX_GIVENS, MIN_GIVENS, NUM_CELLS, dig, is_held_out, random_grid, random_symmetry

BUCKETS = ((24, 25), (26, 29), (30, 46))  # givens
FEWEST_GRIDS = 20  # held-out grids to dig in, each under a fresh symmetry
BOUNDS = (0.03, 0.1, 0.3, 1.0)  # nats
STEP_CAPS = (1, 2, 4, 8, 16, 32, 48)
NEVER = 10**6  # denoising steps until a canvas starts anew


@dataclass(frozen=True)
class SudokuTask:
    """Puzzles with one solution, as many for every number of givens."""

    name: str = "sudoku"
    level: ClassVar[str | None] = "givens"
    levels: Sequence[int] = range(MIN_GIVENS, MAX_GIVENS + 1)

    def items(self, count: int, seed: int) -> list[Item]:
        """`count` puzzles for each number of givens."""
        rng = random.Random(f"sudoku task {seed}")
        turns = np.random.default_rng(rng.getrandbits(64))
        grids = [_held_out_grid(rng) for _ in range(max(count, FEWEST_GRIDS))]
        return [_puzzle(rng, turns, grids, givens) for givens in self.levels for _ in range(count)]

    def settings(self, params: SamplingParams) -> dict[str, Setting]:
        """Refined as asked, without starting anew, in one denoising step, and left to right by the same weights."""
        params = replace(params, record_trace=True)
        return {
            "refined": Setting(params),
            "never anew": Setting(replace(params, restart_after=NEVER)),
            "one step": Setting(replace(params, max_denoising_steps=1)),
            "left to right": Setting(left_to_right(params)),
        }

    def grade(self, item: Item, reply: Reply) -> dict[str, Grade]:
        """Solved: the one solution. Revoked: cells accepted at some step with a token that was then changed."""
        is_denoised = bool(reply.usage.canvases)
        return {
            "solved": reply.text == item.answer,
            "clues_kept": _share_kept(item.prompt, reply.text),
            "valid": not faults(item.prompt, reply.text),
            "cells_right": _share_equal(item.answer, reply.text),
            "steps": float(reply.usage.denoising_steps) if is_denoised else None,
            "converged": all(reply.usage.converged) if is_denoised else None,
            "revoked_cells": float(_revoked(reply)) if is_denoised else None,
        }

    def clean(self, engine: Engine, item: Item) -> tuple[list[int], list[int]]:
        """Ids of puzzle and solution."""
        canvas = clean_canvas(engine, engine.tokenizer.encode_plain(item.answer))
        return engine.tokenizer.encode_prompt(item.prompt), canvas


@dataclass(frozen=True)
class SamplerTask(SudokuTask):
    """What the sampler is worth: easier puzzles under every entropy bound and step limit."""

    name: str = "sampler"
    levels: Sequence[int] = range(BUCKETS[-1][0], MAX_GIVENS + 1)

    def settings(self, params: SamplingParams) -> dict[str, Setting]:
        """Every bound with every step limit; the limit also stretches the temperature schedule."""
        params = replace(params, record_trace=True)
        return {
            f"bound {bound:g}, {cap} steps": Setting(replace(params, entropy_bound=bound, max_denoising_steps=cap))
            for bound in BOUNDS
            for cap in STEP_CAPS
        }


def _held_out_grid(rng: random.Random) -> list[int]:
    while not is_held_out(grid := random_grid(rng)):
        pass
    return grid


def _puzzle(rng: random.Random, turns: np.random.Generator, grids: Sequence[list[int]], givens: int) -> Item:
    """A puzzle in one of the grids under a fresh symmetry, which leaves it in its class."""
    while True:
        cells, digits = random_symmetry(turns, 1)
        grid = digits[0][np.array(rng.choice(grids))[cells[0]]].tolist()
        rank = dig(grid, rng, min_givens=givens)
        if sum(place == NUM_CELLS for place in rank) == givens:
            break
    clues = "".join("." if place < NUM_CELLS else str(digit) for place, digit in zip(rank, grid, strict=True))
    low, high = next(bucket for bucket in BUCKETS if bucket[0] <= givens <= bucket[1])
    return Item(prompt=clues, answer="".join(map(str, grid)), bucket=f"{low}-{high} givens", level=givens)


def _share_kept(clues: str, answer: str) -> float:
    given = [i for i, clue in enumerate(clues) if clue != "."]
    return sum(answer[i : i + 1] == clues[i] for i in given) / len(given)


def _share_equal(wanted: str, answer: str) -> float:
    return sum(a == b for a, b in zip(wanted, answer, strict=False)) / len(wanted)


def _revoked(reply: Reply) -> int:
    drafts = [event for event in reply.trace.events if isinstance(event, Draft)]
    return num_revoked(drafts, reply.token_ids)
