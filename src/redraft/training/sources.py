"""Python files of the running interpreter's standard library and of installed packages under permissive licences."""

import re
import sys
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

PERMISSIVE = frozenset(
    (
        "MIT",
        "0BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "PSF-2.0",
        "Python-2.0",
        "ISC",
    )
)
STANDARD_LIBRARY = "python"
# The copies in these folders have other owners.
_OTHER_OWNERS = frozenset(
    ("_vendor", "vendor", "vendored", "third_party", "_third_party", "extern", "externals", "site-packages")
)
_TESTS = frozenset(("test", "tests", "testing", "testdata", "test_data", "idle_test", "conftest.py"))  # mostly data
_CLASSIFIERS = {
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "ISC License (ISCL)": "ISC",
}
# What the free-text field says where there is neither an expression nor a classifier.
_FREE_TEXT = {
    r"(the )?mit( license)?": "MIT",
    r"(new |modified )?bsd( license)?|(bsd[ -]?3[ -]clause|3[ -]clause bsd)( license)?": "BSD-3-Clause",
    r"bsd[ -]?2[ -]clause( license)?": "BSD-2-Clause",
    r"apache( license)?[ ,-]*(version )?2(\.0)?( license)?|apache software license": "Apache-2.0",
    r"psf(-2\.0)?|python software foundation license": "PSF-2.0",
    r"isc( license)?": "ISC",
}


@dataclass(frozen=True)
class Package:
    """A distribution: its name, version, licence (an SPDX expression) and Python files below `root`."""

    name: str
    version: str
    licence: str
    root: Path
    paths: tuple[PurePosixPath, ...]  # relative to root, sorted

    def read(self, path: PurePosixPath) -> str:
        """Text of one file with "\\n" line ends; raises ValueError, OSError or SyntaxError where it is not text."""
        with tokenize.open(self.root / path) as file:
            return file.read()


def licence_of(fields: Mapping[str, Any]) -> str | None:
    """SPDX expression of a distribution's metadata (its JSON form): its own, else its classifiers, else free text."""
    expression = fields.get("license_expression")
    if isinstance(expression, str):
        return expression
    classifiers = [line.rpartition(" :: ")[2] for line in fields.get("classifier", ()) if line.startswith("License ::")]
    named = [name for name in classifiers if name != "OSI Approved"]
    if named:
        return " AND ".join(_CLASSIFIERS.get(name, f"LicenseRef-{name}") for name in named)
    text = str(fields.get("license", "")).strip().lower()
    return next((name for pattern, name in _FREE_TEXT.items() if re.fullmatch(pattern, text)), None)


def is_permissive(expression: str, allowed: frozenset[str] = PERMISSIVE) -> bool:
    """Whether an SPDX expression can be met with `allowed` licences alone; parentheses are read as AND throughout."""
    if "(" in expression:
        return all(part.strip() in allowed for part in re.split(r"\bAND\b|\bOR\b", re.sub(r"[()]", " ", expression)))
    return all(any(part.strip() in allowed for part in term.split(" OR ")) for term in expression.split(" AND "))


def packages(names: Iterable[str] | None = None) -> Iterator[Package]:
    """The standard library and every permissive distribution installed here (or only `names`), sorted by name."""
    wanted = None if names is None else {_normal(name) for name in names}
    found = {}
    if wanted is None or STANDARD_LIBRARY in wanted:
        found[STANDARD_LIBRARY] = _standard_library()
    for distribution in metadata.distributions():
        name = _normal(distribution.name)
        if name in found or (wanted is not None and name not in wanted):
            continue
        licence = licence_of(distribution.metadata.json)
        if licence is not None and is_permissive(licence):
            paths = (PurePosixPath(path) for path in distribution.files or ())
            root = Path(str(distribution.locate_file("")))
            found[name] = Package(name, distribution.version, licence, root, _python_files(paths))
    for name in sorted(found):
        if found[name].paths:
            yield found[name]


def _standard_library() -> Package:
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = (PurePosixPath(path.relative_to(root).as_posix()) for path in root.rglob("*.py"))
    version = ".".join(map(str, sys.version_info[:3]))
    return Package(STANDARD_LIBRARY, version, "PSF-2.0", root, _python_files(paths))


def _python_files(paths: Iterable[PurePosixPath]) -> tuple[PurePosixPath, ...]:
    skipped = _OTHER_OWNERS | _TESTS
    return tuple(
        sorted(
            path
            for path in set(paths)
            if path.suffix == ".py" and ".." not in path.parts and skipped.isdisjoint(path.parts)
            if not re.match(r"test_|_?test\.py|.*_test\.py", path.name)
        )
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
