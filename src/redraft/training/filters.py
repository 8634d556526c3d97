"""Why a Python file is left out of the corpus: generated, data, owned by others, seen before, or part of a test set."""

import ast
import hashlib
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

MIN_BYTES, MAX_BYTES = 200, 200_000
MAX_LINE = 400  # characters
MAX_CONSTANT_SHARE = 0.42  # of the syntax tree's nodes: tables have more
_GENERATED = re.compile(
    r"auto(matically)?[- ]?generated|generated (automatically|by|from)\b|do not (edit|modify)|@generated", re.I
)
_OTHER_LICENCE = re.compile(
    r"\b(GNU (Lesser |Affero )?General Public|[AL]?GPL|Mozilla Public|MPL|Creative Commons|CC[- ]BY)\b"
)
_LICENCE_WORDS = re.compile(r"copyright|licen[cs]e|SPDX", re.I)
# Names no one gives a function by chance; enough to notice a copy of HumanEval where the data set itself is absent.
_HUMAN_EVAL_NAMES = re.compile(
    r"\b(has_close_elements|separate_paren_groups|parse_nested_parens|filter_by_substring|get_odd_collatz|prod_signs"
    r"|minSubArraySum|check_if_last_char_is_a_letter|cycpattern_check|strange_sort_list|int_to_mini_roman|skjkasdkd"
    r"|Strongest_Extension|car_race_collision|largest_smallest_integers|even_odd_palindrome|human_?eval)\b",
    re.I,
)  # fmt: skip


def why_unfit(text: str) -> str | None:
    """The reason a file is no material for training, None where it is."""
    if not MIN_BYTES <= len(text.encode("utf-8", errors="replace")) <= MAX_BYTES:
        return "size"
    lines = text.splitlines()
    if _OTHER_LICENCE.search("\n".join(lines[:60])):
        return "other licence in its header"
    if _GENERATED.search("\n".join(lines[:15])):
        return "generated"
    if max(map(len, lines)) > MAX_LINE:
        return "long lines"
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "does not parse"
    nodes = [type(node) for node in ast.walk(tree)]
    if nodes.count(ast.Constant) > MAX_CONSTANT_SHARE * len(nodes):
        return "data"
    return None


def without_licence_header(text: str) -> str:
    """The text without its leading block of comments where that speaks of a licence: thousands of files share it."""
    header = re.match(r"(#[^\n]*\n|[ \t]*\n)+", text)
    if header is None or not _LICENCE_WORDS.search(header[0]):
        return text
    return text[header.end() :]


class NearDuplicates:
    """Remembers files by MinHash over shingles of normalised lines; finds those that mostly repeat an earlier one."""

    def __init__(self, threshold: float = 0.6, num_hashes: int = 64, num_bands: int = 16, lines_per_shingle: int = 5):
        """`threshold`: estimated Jaccard similarity from which a file counts as a duplicate."""
        rng = np.random.default_rng(0)
        self._multipliers = rng.integers(1, 2**31, num_hashes, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._offsets = rng.integers(0, 2**63, num_hashes, dtype=np.uint64)
        self._threshold, self._num_bands, self._lines_per_shingle = threshold, num_bands, lines_per_shingle
        self._signatures: list[np.ndarray] = []
        self._buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)

    def add(self, text: str) -> bool:
        """Whether `text` repeats a file added before; if not, it is remembered."""
        signature = self._signature(text)
        bands = [(i, band.tobytes()) for i, band in enumerate(signature.reshape(self._num_bands, -1))]
        for other in {index for band in bands for index in self._buckets.get(band, ())}:
            if np.mean(self._signatures[other] == signature) >= self._threshold:
                return True
        for band in bands:
            self._buckets[band].append(len(self._signatures))
        self._signatures.append(signature)
        return False

    def _signature(self, text: str) -> np.ndarray:
        """The smallest value of each hash over all shingles, uint64 [num_hashes]: multiply-shift, 32 bits kept."""
        lines = [" ".join(line.split()) for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        width = self._lines_per_shingle
        shingles = ["\n".join(lines[i : i + width]) for i in range(max(1, len(lines) - width + 1))]
        digests = (hashlib.blake2b(shingle.encode(), digest_size=8).digest() for shingle in shingles)
        keys = np.frombuffer(b"".join(digests), dtype="<u8")
        return ((keys[:, None] * self._multipliers + self._offsets) >> np.uint64(32)).min(axis=0)


class EvaluationOverlap:
    """Recognises text from evaluation tasks: a distinctive name, or ten words in a row."""

    def __init__(self, tasks: Iterable[Mapping[str, Any]] = (), num_words: int = 10):
        """`tasks`: rows with `prompt`, `canonical_solution`, `suffix` (HumanEval infilling)."""
        self._num_words = num_words
        texts = (task["prompt"] + task["canonical_solution"] + task["suffix"] for task in tasks)
        self._runs = {run for text in texts for run in self._word_runs(text) if _is_telling(run)}

    def found_in(self, text: str) -> bool:
        """Whether `text` shares a telling run of words with a task."""
        if _HUMAN_EVAL_NAMES.search(text):
            return True
        return bool(self._runs) and any(run in self._runs for run in self._word_runs(text))

    def _word_runs(self, text: str) -> Iterator[str]:
        words = re.findall(r"\w+", text.lower())
        for start in range(len(words) - self._num_words + 1):
            yield " ".join(words[start : start + self._num_words])


def _is_telling(run: str) -> bool:
    """Whether six different words stand in a run: a list of small numbers or two nested loops tell nothing."""
    return len({word for word in run.split() if len(word) > 1 and not word.isdigit()}) >= 6
