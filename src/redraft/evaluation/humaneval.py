"""HumanEval infilling: a line or a span of a known solution left out, graded by text, by syntax and by its tests."""

import gzip
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from redraft.errors import InvalidRequest
from redraft.evaluation.infill import Hole, HoleTask, program
from redraft.evaluation.metrics import Grade
from redraft.evaluation.sandbox import passes
from redraft.reply import Reply

FILES = {"single line": "HumanEval-SingleLineInfilling", "random span": "HumanEval-RandomSpanInfillingLight"}


def data_folder() -> Path:
    """Where the tasks lie, whether they are there or not."""
    return Path(os.environ.get("REDRAFT_TEST_DATA", "../shared/data")) / "humaneval-infilling"


@dataclass(frozen=True)
class HumanEvalTask(HoleTask):
    """Tasks of the files in a folder; `runs_tests` says whether programs that parse are run with the tests given."""

    folder: Path
    runs_tests: bool = True
    name: str = "humaneval"

    def items(self, count: int, seed: int) -> list[Hole]:
        """`count` holes of each file, or all where it has fewer."""
        holes = []
        for bucket, file in FILES.items():
            rows = _rows(self.folder / f"{file}.jsonl.gz")
            chosen = Random(f"humaneval {seed}").sample(rows, min(count, len(rows)))
            holes += [_hole(row, bucket) for row in chosen]
        return holes

    def grade(self, item: Hole, reply: Reply) -> dict[str, Grade]:
        """As an infill, and whether the tests pass, also with nothing in the hole; what does not parse is not run."""
        graded = super().grade(item, reply)
        if self.runs_tests:
            graded["passes"] = bool(graded["parses"]) and _passes(item, reply.text)
            graded["empty_passes"] = bool(graded["empty_parses"]) and _passes(item, "")
        return graded


def _passes(hole: Hole, text: str) -> bool:
    return passes(f"{program(hole, text)}\n{hole.test}\n")


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InvalidRequest(f"{path} is not there: want the files of openai/human-eval-infilling, see --data")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _hole(row: Mapping[str, str], bucket: str) -> Hole:
    """A task as a hole; a single line's own line break is text after it."""
    answer, after = row["canonical_solution"], row["suffix"]
    if bucket == "single line":
        answer, after = answer.removesuffix("\n"), "\n" + after
    return Hole(
        prompt=row["prompt"],
        answer=answer,
        after=after,
        bucket=bucket,
        is_one_line=bucket == "single line",
        test=f"{row['test']}\ncheck({row['entry_point']})",
    )
