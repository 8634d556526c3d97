"""Which packages and files count as permissive Python text."""

import pytest

from redraft.training.sources import PERMISSIVE, STANDARD_LIBRARY, is_permissive, licence_of, packages


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"license_expression": "Apache-2.0 OR BSD-2-Clause", "license": "GPL"}, "Apache-2.0 OR BSD-2-Clause"),
        ({"classifier": ["License :: OSI Approved :: ISC License (ISCL)"]}, "ISC"),
        (
            {"classifier": ["License :: OSI Approved", "Topic :: Software"], "license": "Apache 2.0 License"},
            "Apache-2.0",
        ),
        ({"license": "BSD"}, "BSD-3-Clause"),
        ({"license": "see the file"}, None),
        ({}, None),
    ],
)
def test_the_licence_is_read_from_the_expression_then_classifiers_then_text(fields, licence):
    assert licence_of(fields) == licence


def test_a_copyleft_classifier_beside_a_permissive_one_is_not_permissive():
    both = ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)"]
    assert not is_permissive(licence_of({"classifier": both}))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND PSF-2.0", True),
        ("(MIT OR GPL-3.0-only) AND ISC", False),
        ("(MIT OR ISC) AND Apache-2.0 WITH LLVM-exception", True),
    ],
)
def test_every_and_and_one_or_must_be_permissive(expression, expected):
    assert is_permissive(expression) is expected


def test_the_standard_library_is_there_without_its_tests_and_without_installed_packages():
    (library,) = packages([STANDARD_LIBRARY])
    assert library.licence in PERMISSIVE
    parts = {part for path in library.paths for part in path.parts}
    assert {"argparse.py", "asyncio"} <= parts
    assert parts.isdisjoint({"test", "tests", "site-packages", "conftest.py"})


def test_packages_without_a_permissive_licence_are_left_out():
    names = [package.name for package in packages(["hypothesis", "certifi", "click"])]
    assert names == ["click"]
