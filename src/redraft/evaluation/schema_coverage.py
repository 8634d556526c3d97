"""How much of real JSON schemas compiles, and whether the automata agree with labelled instances: a table as JSON.

    python -m redraft.evaluation.schema_coverage [--limit N] [--sources A,B] [--seed 0] [--out FILE]

Reads `jsonschema/dev.jsonl.gz` under REDRAFT_TEST_DATA (default ../shared/data): one schema a line with instances
labelled valid or not. A valid instance that is refused is sorted by what it takes to be accepted: keys in schema order,
no keys but those a schema declares, integers without a point, less depth, shorter strings or arrays. What is left is
"other", a fault. Seconds are of processor time, from the schema to its byte automaton.
"""

import argparse
import collections
import gzip
import json
import os
import platform
import random
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from redraft.constraints.automaton import ByteAutomaton, compile_tree
from redraft.constraints.json_formats import FORMATS
from redraft.constraints.schema import schema_tree
from redraft.errors import InvalidRequest
from redraft.evaluation.run import versions, write_results
from redraft.evaluation.schema_reasons import accepts, reason_outside


def data_file() -> Path:
    """Where the labelled schemas lie, whether they are there or not."""
    return Path(os.environ.get("REDRAFT_TEST_DATA", "../shared/data")) / "jsonschema" / "dev.jsonl.gz"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """One row per schema: id, source, schema, tests."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def compile_schema(schema: Any, max_depth: int = 4) -> ByteAutomaton:
    """The automaton of a schema's language; InvalidRequest where it is refused or empty."""
    automaton = compile_tree(schema_tree(schema, max_depth))
    if automaton.is_empty:
        raise InvalidRequest("JSONSchema #: no JSON text fulfils it")
    return automaton


def examine(row: dict[str, Any]) -> dict[str, Any]:
    """What one schema gives: seconds, states or the refusal, and a verdict per instance."""
    start = time.process_time()
    try:
        automaton = compile_schema(row["schema"])
    except InvalidRequest as error:
        return {"id": row["id"], "refused": str(error), "seconds": time.process_time() - start}
    seconds = time.process_time() - start
    verdicts = collections.Counter(_verdict(row, automaton, test) for test in row["tests"])
    return {"id": row["id"], "seconds": seconds, "states": automaton.num_states, "verdicts": dict(verdicts)}


def _verdict(row: dict[str, Any], automaton: ByteAutomaton, test: dict[str, Any]) -> str:
    data = test["data"]
    accepted = accepts(automaton, data)
    if accepted:
        loose = _formats(row["schema"]) - FORMATS
        return "valid, accepted" if test["valid"] else f"invalid, accepted{', format not enforced' if loose else ''}"
    return f"valid, refused: {reason_outside(row['schema'], automaton, data)}" if test["valid"] else "invalid, refused"


def _formats(schema: Any) -> set[str]:
    """Every format that the schema names anywhere."""
    todo, found = [schema], set()
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            found.update([value["format"]] if isinstance(value.get("format"), str) else [])
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)
    return found


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """One line of the table."""
    compiled = [result for result in results if "states" in result]
    verdicts: collections.Counter[str] = collections.Counter()
    for result in compiled:
        verdicts.update(result["verdicts"])
    return {
        "schemas": len(results),
        "compiled": len(compiled),
        "share": round(len(compiled) / max(1, len(results)), 4),
        "seconds": _quantiles([result["seconds"] for result in results]),
        "states": _quantiles([result["states"] for result in compiled]),
        "instances": dict(sorted(verdicts.items())),
        "refused": {result["id"]: result["refused"] for result in results if "refused" in result},
        "faults": {
            result["id"]: {verdict: n for verdict, n in result["verdicts"].items() if is_fault(verdict)}
            for result in compiled
            if any(map(is_fault, result["verdicts"]))
        },
    }


def is_fault(verdict: str) -> bool:
    """Whether no instance should have this verdict."""
    return verdict in ("invalid, accepted", "valid, refused: other")


def _quantiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {"p50": values[0], "p95": values[0]} if values else {}
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {"p50": round(cuts[9], 4), "p95": round(cuts[18], 4), "max": round(max(values), 4)}


def main(arguments: list[str] | None = None) -> None:
    """Prints the table of the schemas asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--limit", type=int, help="schemas per source")
    parser.add_argument("--sources", help="names with commas between; default all")
    parser.add_argument("--seed", type=int, default=0, help="of the choice under --limit")
    parser.add_argument("--out", type=Path, help="also write the JSON there")
    options = parser.parse_args(arguments)
    rows = read_rows(data_file())
    random.Random(options.seed).shuffle(rows)
    by_source: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for row in rows:
        by_source[row["source"]].append(row)
    wanted = options.sources.split(",") if options.sources else sorted(by_source)
    results = {
        "command": shlex.join(["python", "-m", "redraft.evaluation.schema_coverage", *(arguments or sys.argv[1:])]),
        "versions": versions(),
        "machine": platform.machine(),
        "sources": {s: summarize([examine(row) for row in by_source[s][: options.limit]]) for s in wanted},
    }
    if options.out:
        write_results(results, options.out)
    json.dump(results, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
