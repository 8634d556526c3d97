"""The table of schema coverage, on made-up rows and on a sample of the real ones."""

import random

import pytest

from redraft.evaluation.schema_coverage import data_file, examine, is_fault, read_rows, summarize

SOURCES = {"Glaiveai2K", "Github_trivial", "Github_easy", "BFCL", "JME", "Github_medium"}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "n": {"$ref": "#"}},
    "required": ["a"],
}


def row(*tests, schema=SCHEMA):
    return {"id": "made up", "source": "none", "schema": schema, "tests": [{"data": d, "valid": v} for d, v in tests]}


def deep(levels: int) -> dict:
    return {"a": 1, "n": deep(levels - 1)} if levels else {"a": 1}


@pytest.mark.parametrize(
    ("data", "is_valid", "verdict"),
    [
        ({"a": 1, "b": "x"}, True, "valid, accepted"),
        ({"a": "x"}, False, "invalid, refused"),
        ({"b": "x", "a": 1}, True, "valid, refused: key order"),
        ({"a": 1, "z": 1}, True, "valid, refused: undeclared key"),
        (deep(9), True, "valid, refused: depth"),
        ({"a": 1.0}, True, "valid, refused: integer written as a float"),
        ({"a": "x"}, True, "valid, refused: other"),
        ({"a": 1}, False, "invalid, accepted"),
    ],
)
def test_an_instance_is_sorted_by_what_keeps_it_out(data, is_valid, verdict):
    assert examine(row((data, is_valid)))["verdicts"] == {verdict: 1}


def test_an_invalid_instance_under_an_unenforced_format_is_told_apart():
    schema = {"type": "string", "format": "colour"}
    assert examine(row(("x", False), schema=schema))["verdicts"] == {"invalid, accepted, format not enforced": 1}


def test_the_summary_counts_refusals_and_faults():
    summary = summarize([examine(row(({"a": "x"}, True))), examine(row(schema={"type": 7}))])
    assert (summary["schemas"], summary["compiled"], summary["share"]) == (2, 1, 0.5)
    assert "#/type" in summary["refused"]["made up"]
    assert summary["faults"] == {"made up": {"valid, refused: other": 1}}


@pytest.mark.skipif(not data_file().exists(), reason="needs the jsonschema data under REDRAFT_TEST_DATA")
def test_a_sample_of_real_schemas_compiles_without_a_wrong_verdict():
    rows = [row for row in read_rows(data_file()) if row["source"] in SOURCES]
    sample = random.Random(11).sample(rows, 40)
    results = [examine(row) for row in sample]
    faults = [result["id"] for result in results if any(map(is_fault, result.get("verdicts", ())))]
    assert faults == []
    assert sum("states" in result for result in results) >= 36
