"""Imports point one way: the graph of src/redraft, read from its syntax trees, lazy imports included."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "redraft"

# package or root module: its level. An import may go down or sideways, never up.
LEVELS = {
    name: level
    for level, names in enumerate(
        (
            ("errors", "shapes", "config", "reply"),
            ("kernels",),
            ("checkpoint", "text", "model", "cache", "diffusion", "constraints"),
            ("engine", "training"),
            ("visualize", "evaluation", "benchmark"),
            ("server", "cli"),
        )
    )
    for name in names
}
# importer: packages it may not see although their level would allow it
FORBIDDEN = {
    "diffusion": {"model", "constraints", "cache", "checkpoint"},
    "training": {"engine"},
}


def module_name(path: Path) -> str:
    parts = ("redraft", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


@cache
def modules() -> dict[str, ast.Module]:
    paths = [path for path in SOURCE.rglob("*.py") if "models" not in path.relative_to(SOURCE).parts]
    return {module_name(path): ast.parse(path.read_text(), str(path)) for path in paths}


def nodes(tree: ast.AST, with_types: bool) -> Iterator[ast.AST]:
    """Every node, or every one outside `if TYPE_CHECKING:`."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        is_for_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if with_types or not is_for_types:
            yield from nodes(child, with_types)


def imports(name: str, tree: ast.Module, with_types: bool = True) -> set[str]:
    """Full names of what a module imports, wherever in it; `from a import b` gives a.b where that is a module."""
    found = set()
    is_package = (SOURCE.parent / Path(*name.split(".")) / "__init__.py").exists()
    for node in nodes(tree, with_types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".")[: len(name.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            inner = {f"{base}.{alias.name}" for alias in node.names}
            found |= (inner & modules().keys()) or {base}
    return found


def package(name: str) -> str:
    """`redraft.a.b` -> `a`; the root itself -> ``."""
    return [*name.split("."), ""][1]


@cache
def arrows(with_types: bool = True) -> set[tuple[str, str]]:
    """(importer, imported) for every import of one of our modules by another, the lazy root's own left out."""
    return {
        (name, target)
        for name, tree in modules().items()
        for target in imports(name, tree, with_types)
        if name != "redraft" and target.split(".")[0] == "redraft" and target != name
    }


def cycle(edges: set[tuple[str, str]]) -> list[str]:
    """One cycle of a directed graph, or nothing."""
    after: dict[str, set[str]] = {}
    for source, target in edges:
        after.setdefault(source, set()).add(target)
    done: set[str] = set()

    def visit(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return []
        found = next((c for n in sorted(after.get(node, ())) if (c := visit(n, [*trail, node]))), [])
        done.add(node)
        return found

    return next((c for node in sorted(after) if (c := visit(node, []))), [])


def test_every_package_and_root_module_has_a_level():
    assert {package(name) for name in modules()} - {""} <= LEVELS.keys()


def test_no_import_points_up():
    up = [(a, b) for a, b in arrows() if package(b) and LEVELS[package(a)] < LEVELS[package(b)]]
    assert up == []


def test_no_package_sees_one_that_style_keeps_from_it():
    seen = [(a, b) for a, b in arrows() if package(b) in FORBIDDEN.get(package(a), ())]
    assert seen == []


def test_packages_import_each_other_without_cycles():
    assert cycle({(package(a), package(b)) for a, b in arrows() if package(a) != package(b)}) == []


def test_modules_import_each_other_without_cycles():
    packages = {name for name in modules() if (SOURCE.parent / Path(*name.split(".")) / "__init__.py").exists()}
    assert cycle({(a, b) for a, b in arrows(with_types=False) if b not in packages}) == []


def test_the_lazy_root_is_imported_inside_only_for_its_version():
    taken = {
        (name, alias.name)
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "redraft" and not node.level
        for alias in node.names
        if f"redraft.{alias.name}" not in modules()
    }
    assert {what for _, what in taken} <= {"__version__"}


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("transformers", {"redraft.benchmark.opponents"}),
        ("huggingface_hub", {"redraft.checkpoint.fetch"}),
        ("click", {"redraft.cli"}),
        ("fastapi", {"redraft.server", "redraft.cli"}),
        ("rich", {"redraft.visualize", "redraft.cli"}),
    ],
)
def test_a_library_is_imported_only_at_home(library, homes):
    users = {name for name, tree in modules().items() if library in {i.split(".")[0] for i in imports(name, tree)}}
    strangers = {name for name in users if not any(name == home or name.startswith(home + ".") for home in homes)}
    assert strangers == set()


def test_constraints_see_tensors_only_in_inference():
    users = {
        name
        for name, tree in modules().items()
        if package(name) == "constraints" and imports(name, tree) & {"torch", "jaxtyping", "redraft.shapes"}
    }
    assert users <= {"redraft.constraints.inference"}


@pytest.mark.parametrize("name", ["redraft", "redraft.config", "redraft.reply", "redraft.errors", "redraft.cli"])
def test_a_light_module_loads_without_the_heavy_libraries(name):
    code = f"import sys, {name}; print([m for m in ('torch', 'transformers', 'fastapi', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_a_cycle_is_found_and_a_diamond_is_none():
    assert cycle({("a", "b"), ("b", "c"), ("c", "a")}) == ["a", "b", "c", "a"]
    assert cycle({("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}) == []
