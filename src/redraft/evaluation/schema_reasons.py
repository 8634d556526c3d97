"""Why a valid instance is not in a schema's JSON language: found by what has to change before it is."""

import json
import re
from itertools import product
from typing import Any

from redraft.constraints.automaton import ByteAutomaton
from redraft.constraints.schema_document import SchemaDocument
from redraft.constraints.schema_keywords import escape

_BRANCHES = ("allOf", "anyOf", "oneOf")
_OMITTED = object()
_FILLERS = (None, True, 0, "", {}, [], _OMITTED)  # what may stand in for a value that is too deep


def accepts(automaton: ByteAutomaton, data: Any) -> bool:
    """Whether one of the ways of json.dumps to write the data is a member."""
    return any(
        automaton.matches(json.dumps(data, ensure_ascii=ascii_only, separators=separators).encode())
        for ascii_only in (False, True)
        for separators in ((", ", ": "), (",", ":"))
    )


def reason_outside(schema: Any, automaton: ByteAutomaton, data: Any) -> str:
    """One of "key order", "undeclared key", "integer written as a float", "length", "depth", "other"."""
    document = SchemaDocument(schema)
    ordered, pruned = (
        [_arrange(document, [""], data, prune, by_fit) for by_fit in (False, True)] for prune in (False, True)
    )
    changed = [data, *ordered, *pruned]
    attempts = [
        ("key order", ordered),
        ("undeclared key", pruned),
        ("integer written as a float", map(_as_integers, changed)),
        ("length", (_shorten(each, size) for each, size in product(changed, (100, 50, 25)))),
        ("depth", (_flatten(each, d, filler) for each, d, filler in product(changed, range(8, 0, -1), _FILLERS))),
    ]
    for reason, candidates in attempts:
        if any(accepts(automaton, candidate) for candidate in candidates):
            return reason
    return "undeclared key" if pruned[0] != ordered[0] else "other"


def _as_integers(data: Any) -> Any:
    """The data with floats that are integers made so."""
    if isinstance(data, dict):
        return {key: _as_integers(value) for key, value in data.items()}
    if isinstance(data, list):
        return list(map(_as_integers, data))
    return int(data) if isinstance(data, float) and data.is_integer() else data


def _shorten(data: Any, size: int) -> Any:
    """The data with strings and arrays cut off at a size."""
    if isinstance(data, dict):
        return {key: _shorten(value, size) for key, value in data.items()}
    if isinstance(data, list):
        return [_shorten(item, size) for item in data[:size]]
    return data[:size] if isinstance(data, str) else data


def _flatten(data: Any, depth: int, filler: Any) -> Any:
    """The data with the filler in place of containers deeper than a depth; _OMITTED: without them."""
    if depth == 0 and isinstance(data, dict | list):
        return filler
    if isinstance(data, dict):
        inner = {key: _flatten(value, depth - 1, filler) for key, value in data.items()}
        return {key: value for key, value in inner.items() if value is not _OMITTED}
    if isinstance(data, list):
        return [item for item in (_flatten(item, depth - 1, filler) for item in data) if item is not _OMITTED]
    return data


def _arrange(document: SchemaDocument, pointers: list[str], data: Any, prune: bool, by_fit: bool) -> Any:
    """The data with keys in the order of the schemas that may apply to it.

    `prune`: only keys that one of them declares. `by_fit`: those first that declare most of the keys there are.
    """
    schemas = _applicable(document, pointers)
    if isinstance(data, list):
        items = ((_item_pointers(schemas, i), item) for i, item in enumerate(data))
        return [_arrange(document, places, item, prune, by_fit) for places, item in items]
    if not isinstance(data, dict):
        return data
    if by_fit:
        schemas.sort(key=lambda entry: -len(data.keys() & entry[1].get("properties", {}).keys()))
    order = list(dict.fromkeys(key for _, schema in schemas for key in schema.get("properties", {})))
    order += [key for _, schema in schemas for key in schema.get("required", ()) if key not in order]
    keys = [key for key in order if key in data]
    keys += [key for key in data if key not in keys and not (prune and _is_undeclared(schemas, key))]
    return {key: _arrange(document, _key_pointers(schemas, key), data[key], prune, by_fit) for key in keys}


def _is_undeclared(schemas: list[tuple[str, dict]], key: str) -> bool:
    says = ("properties", "required", "patternProperties", "additionalProperties")
    patterns = [pattern for _, schema in schemas for pattern in schema.get("patternProperties", {})]
    is_open = any(schema.get("additionalProperties") for _, schema in schemas)
    is_free = not any(keyword in schema for _, schema in schemas for keyword in says)
    return not (is_open or is_free or any(re.search(pattern, key) for pattern in patterns))


def _applicable(document: SchemaDocument, pointers: list[str]) -> list[tuple[str, dict]]:
    """The subschemas that may speak about a value, branches and references followed."""
    found: dict[str, dict] = {}
    todo = list(pointers)
    while todo:
        pointer = todo.pop(0)
        schema = document.at(pointer)
        if pointer in found or not isinstance(schema, dict):
            continue
        found[pointer] = schema
        if "$ref" in schema:
            todo.append(document.target(pointer))
        for keyword in _BRANCHES:
            todo.extend(f"{pointer}/{keyword}/{i}" for i in range(len(schema.get(keyword, ()))))
        todo.extend(f"{pointer}/{keyword}" for keyword in ("if", "then", "else") if keyword in schema)
    return list(found.items())


def _key_pointers(schemas: list[tuple[str, dict]], key: str) -> list[str]:
    found = []
    for pointer, schema in schemas:
        if key in schema.get("properties", {}):
            found.append(f"{pointer}/properties/{escape(key)}")
        matching = [pattern for pattern in schema.get("patternProperties", {}) if re.search(pattern, key)]
        found.extend(f"{pointer}/patternProperties/{escape(pattern)}" for pattern in matching)
        if key not in schema.get("properties", {}) and not matching and "additionalProperties" in schema:
            found.append(f"{pointer}/additionalProperties")
    return found


def _item_pointers(schemas: list[tuple[str, dict]], index: int) -> list[str]:
    found = []
    for pointer, schema in schemas:
        for keyword in ("items", "prefixItems"):
            items = schema.get(keyword)
            if isinstance(items, list) and index < len(items):
                found.append(f"{pointer}/{keyword}/{index}")
            elif isinstance(items, dict):
                found.append(f"{pointer}/{keyword}")
    return found
