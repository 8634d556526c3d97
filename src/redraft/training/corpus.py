"""A folder of Python text to train on: from what is installed here, cleaned, split and described in a manifest.

from redraft.training.corpus import gather
gather(Path("corpus"), seed=0, evaluation_data=Path("../shared/data"))
"""

import gzip
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from redraft.errors import InvalidRequest
from redraft.training.filters import EvaluationOverlap, NearDuplicates, why_unfit, without_licence_header
from redraft.training.sources import STANDARD_LIBRARY, Package, packages

SPLITS = ("train", "heldout_files", "heldout_packages")
HELD_OUT_FILES = 50  # one file in this many
HELD_OUT_PACKAGES = 16  # one package in this many
MAX_PACKAGE_BYTES = 4_000_000  # no package drowns the others; the standard library may


def gather(
    out: Path, seed: int = 0, evaluation_data: Path | None = None, names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Writes train, heldout_files and heldout_packages (.jsonl) and manifest.json into `out`; returns the manifest.

    Each line is {"package", "path", "text"}. `seed` orders the lines and picks the files of packages above the cap;
    what is held out hangs on names alone. `evaluation_data` holds humaneval-infilling/*.jsonl.gz, whose text is kept
    out; `names` limits the packages. The same interpreter, packages, data and seed give the same bytes.
    """
    rows: dict[str, list[dict[str, str]]] = {split: [] for split in SPLITS}
    dropped: Counter[str] = Counter()
    described = []
    duplicates, overlap = NearDuplicates(), EvaluationOverlap(_tasks(evaluation_data))
    for package in packages(names):
        kept = list(_kept_files(package, seed, duplicates, overlap, dropped))
        for row in kept:
            rows[split_of(row["package"], row["path"])].append(row)
        num_bytes = sum(len(row["text"].encode()) for row in kept)
        described.append({"name": package.name, "version": package.version, "licence": package.licence,
                          "files": len(kept), "bytes": num_bytes, "held_out": is_held_out(package.name)})  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    manifest = {
        "seed": seed,
        "evaluation_data": evaluation_data is not None,
        "packages": described,
        "dropped": dict(sorted(dropped.items())),
        "splits": {split: _write(out / f"{split}.jsonl", rows[split], seed) for split in SPLITS},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def texts(corpus: Path, split: str = "train") -> Iterator[str]:
    """The texts of one split of a gathered corpus, in the file's order."""
    if split not in SPLITS:
        raise InvalidRequest(f"split={split!r}: want one of {', '.join(SPLITS)}")
    with (corpus / f"{split}.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


def credit_lines(manifest: Mapping[str, Any]) -> list[str]:
    """One line per package in a manifest's train split, for NOTICE: name, version, licence."""
    used = (package for package in manifest["packages"] if package["files"] and not package["held_out"])
    return [f"- {package['name']} {package['version']} ({package['licence']})" for package in used]


def is_held_out(package: str) -> bool:
    """Whether a whole package is kept for evaluation."""
    return _hash(f"package {package}") % HELD_OUT_PACKAGES == 0


def split_of(package: str, path: str) -> str:
    """The split a file belongs to; hangs on names only, so it never changes with the seed or with other files."""
    if is_held_out(package):
        return "heldout_packages"
    return "heldout_files" if _hash(f"file {package}/{path}") % HELD_OUT_FILES == 0 else "train"


def _kept_files(
    package: Package, seed: int, duplicates: NearDuplicates, overlap: EvaluationOverlap, dropped: Counter[str]
) -> Iterator[dict[str, str]]:
    """Rows of a package's files that pass, in seeded order, up to the cap; counts the others by reason, in place."""
    budget = math.inf if package.name == STANDARD_LIBRARY else MAX_PACKAGE_BYTES
    for path in sorted(package.paths, key=lambda path: _hash(f"{seed} {package.name}/{path}")):
        try:
            text = package.read(path)
            text.encode("utf-8")
        except (ValueError, OSError, SyntaxError):
            dropped["not text"] += 1
            continue
        reason = why_unfit(text)
        if reason is None and overlap.found_in(text):
            reason = "in an evaluation set"
        text = without_licence_header(text)
        if reason is None and len(text.encode()) > budget:
            reason = "above the package's cap"
        if reason is None and duplicates.add(text):
            reason = "near duplicate"
        if reason is not None:
            dropped[reason] += 1
            continue
        budget -= len(text.encode())
        yield {"package": package.name, "path": str(path), "text": text}


def _tasks(evaluation_data: Path | None) -> Iterator[dict[str, Any]]:
    if evaluation_data is None:
        return
    files = sorted((evaluation_data / "humaneval-infilling").glob("*.jsonl.gz"))
    if not files:
        raise InvalidRequest(f"evaluation_data={evaluation_data}: want a folder with humaneval-infilling/*.jsonl.gz")
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)


def _write(path: Path, rows: list[dict[str, str]], seed: int) -> dict[str, Any]:
    """Writes the rows in seeded order; returns what the manifest says about the file."""
    rows = sorted(rows, key=lambda row: _hash(f"{seed} {row['package']}/{row['path']}"))
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(data)
    num_bytes = sum(len(row["text"].encode()) for row in rows)
    return {"files": len(rows), "bytes": num_bytes, "sha256": hashlib.sha256(data).hexdigest()}


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
