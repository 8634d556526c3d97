"""Infill of Python: holes in files that training never saw, filled with both sides in view and with one."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import ClassVar

from redraft.config import SamplingParams
from redraft.constraints.infill import clean_canvas as laid_canvas
from redraft.constraints.infill import lay_out
from redraft.constraints.spec import Regex
from redraft.engine.engine import Engine
from redraft.errors import InvalidRequest
from redraft.evaluation.metrics import Grade
from redraft.evaluation.tasks import Item, Setting, clean_canvas, left_to_right, steps_per_canvas
from redraft.reply import Reply
from redraft.training.corpus import SPLITS, texts
from redraft.training.mini_data import cut, windows

LONGEST_DOCUMENT, LONGEST_HOLE = 300, 80  # characters; prompts and holes as long as redraft-mini was trained on
KINDS = ("line", "expression", "span")
_OPERATORS = (" = ", "return ", "(", " in ", ", ")  # what an expression may follow; see `cut`
SPLIT_NAMES = {"heldout_files": "new file", "heldout_packages": "new package"}


@dataclass(frozen=True, kw_only=True)
class Hole(Item):
    """A place in a program: `prompt` is the text before it, `answer` what stood there."""

    after: str
    is_one_line: bool = True  # which those who fill it know
    test: str | None = None  # appended to the program, raises where it is wrong


def program(hole: Hole, text: str) -> str:
    """The document with a text in the hole."""
    return hole.prompt + text + hole.after


def both_sides(engine: Engine, hole: Hole, params: SamplingParams) -> Reply:
    """The hole filled with the text before and after it in view."""
    return engine.fill(hole.prompt, hole.after, replace(params, stop="\n" if hole.is_one_line else None))


def before_only(engine: Engine, hole: Hole, params: SamplingParams) -> Reply:
    """The text before the hole continued by the same weights, and cut where the text after it begins.

    The last token of the prompt is healed as in an infill: the reply begins with its text, which is no part of it.
    """
    layout = lay_out(hole.prompt, "", engine.tokenizer, engine.model.canvas_length)
    heal = layout.heal.decode()
    # What a left-to-right reply says after its line has no influence on it; a canvas is denoised whole.
    is_line = hole.is_one_line and params.decoding == "autoregressive"
    constraint = Regex(re.escape(heal) + (r"[^\n]*\n?" if is_line else r"(.|\n)*"))
    prompt_ids = [*engine.tokenizer.encode_prompt(""), *layout.prompt_ids]
    budget = engine.model.canvas_length
    reply = engine.generate(prompt_ids, replace(params, constraint=constraint, max_tokens=budget))
    return replace(reply, text=until_rest(reply.text[len(heal) :], hole))


def until_rest(text: str, hole: Hole) -> str:
    """A continuation up to where the text after the hole begins in it, or else, in a hole of one line, up to its end.

    The rest of the hole's last line is looked for, or where that is blank the next line.
    """
    text = text.partition("\n")[0] if hole.is_one_line else text
    lines = hole.after.splitlines(keepends=True)
    rest = next(("".join(lines[:i]) for i in range(1, len(lines) + 1) if lines[i - 1].strip()), "")
    found = text.find(rest.removesuffix("\n")) if rest.strip() else -1
    return text if found < 0 else text[:found]


def parses(text: str) -> bool:
    """Whether Python can read a program."""
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


@dataclass(frozen=True)
class HoleTask:
    """What tasks made of holes have in common."""

    level: ClassVar[str | None] = None

    def settings(self, params: SamplingParams) -> dict[str, Setting]:
        """With both sides in view, and with the text before the hole alone: denoised, and left to right."""
        return {
            "both sides": Setting(params, both_sides),
            "before only": Setting(params, before_only),
            "before only, left to right": Setting(left_to_right(params), before_only),
        }

    def grade(self, item: Hole, reply: Reply) -> dict[str, Grade]:
        """Exactly what stood there; a program that parses, and whether it would with nothing in the hole."""
        return {
            "exact": reply.text == item.answer,
            "parses": parses(program(item, reply.text)),
            "empty_parses": parses(program(item, "")),
            "steps_per_canvas": steps_per_canvas(reply),
        }

    def clean(self, engine: Engine, item: Hole) -> tuple[list[int], list[int]]:
        """Ids of a hole's prompt and canvas, laid out as they are served."""
        layout = lay_out(item.prompt, item.after, engine.tokenizer, engine.model.canvas_length)
        canvas = laid_canvas(layout, item.answer, item.after, engine.tokenizer)
        prompt = [*engine.tokenizer.encode_prompt(""), *layout.prompt_ids]
        return prompt, clean_canvas(engine, canvas)


@dataclass(frozen=True)
class InfillTask(HoleTask):
    """Holes in short documents of a gathered corpus's held-out splits, cut as training cuts them."""

    corpus: Path
    name: str = "infill"

    def items(self, count: int, seed: int) -> list[Hole]:
        """`count` holes for each split and kind; every document parses on its own. InvalidRequest where too few do."""
        holes: list[Hole] = []
        for split in SPLITS[1:]:
            found: dict[str, list[Hole]] = {kind: [] for kind in KINDS}
            files = [text for text in texts(self.corpus, split) if text.strip()]
            for kind, hole in _cuts(files, f"infill task {seed} {split}", tries=1000 + 200 * count):
                if len(found[kind]) < count:
                    found[kind].append(replace(hole, bucket=f"{kind}, {SPLIT_NAMES[split]}"))
                if all(len(own) == count for own in found.values()):
                    break
            else:
                few = ", ".join(f"{len(own)} of kind {kind}" for kind, own in found.items())
                raise InvalidRequest(
                    f"corpus={self.corpus}: {split} gives {few}, want {count} each: gather a larger one"
                )
            holes += [hole for own in found.values() for hole in own]
        return sorted(holes, key=lambda hole: KINDS.index(hole.bucket.partition(",")[0]))


def _cuts(files: list[str], name: str, tries: int) -> Iterator[tuple[str, Hole]]:
    """Holes of up to `tries` short documents, one each, with their kinds."""
    rng = Random(name)
    for text in islice(windows(rng.getrandbits(32), files), tries if files else 0):
        begin, end = cut(text, rng)
        answer = text[begin:end]
        if len(text) <= LONGEST_DOCUMENT and answer.strip() and len(answer) <= LONGEST_HOLE and parses(text):
            yield kind_of(text, begin, end), Hole(prompt=text[:begin], answer=answer, after=text[end:], bucket="")


def kind_of(text: str, begin: int, end: int) -> str:
    """A hole within one line: the whole "line" after its indentation, an "expression" up to its end, or a "span"."""
    line = text[text.rfind("\n", 0, begin) + 1 : begin]
    if end < len(text) and text[end] != "\n":
        return "span"
    if not line.strip():
        return "line"
    return "expression" if line.endswith(_OPERATORS) else "span"
