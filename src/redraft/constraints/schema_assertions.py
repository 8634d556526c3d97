"""What a subschema's own keywords say, as one shape per type, and the shapes that contradict them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from redraft.constraints.json_formats import FORMATS
from redraft.constraints.json_numbers import exact
from redraft.constraints.schema_document import SchemaDocument
from redraft.constraints.schema_keywords import escape
from redraft.constraints.schema_numbers import check_steps
from redraft.constraints.schema_shapes import (
    FALSE,
    FREE,
    TRUE,
    All,
    ArrayShape,
    At,
    Count,
    ItemRule,
    KeyRule,
    Lacks,
    LiteralShape,
    Not,
    NumberShape,
    ObjectShape,
    One,
    Ref,
    Shape,
    Some,
    Statement,
    StringShape,
    Values,
    all_of,
)
from redraft.constraints.schema_strings import StringLanguages

_LITERALS = (("boolean", "true"), ("boolean", "false"), ("null", "null"))


class Assertions:
    """Reads subschemas of one document."""

    def __init__(self, document: SchemaDocument, languages: StringLanguages):
        self._document = document
        self._languages = languages

    def shapes(self, pointer: str) -> tuple[Shape, ...]:
        """The values that `type` and the keywords about one type allow; one shape per type."""
        schema = self._document.at(pointer)
        types = _types(schema)
        found: list[Shape] = []
        if "object" in types:
            found.append(self._object(pointer, schema))
        if "array" in types:
            found.append(self._array(pointer, schema))
        if "string" in types:
            found.append(self._string(pointer, schema))
        if "number" in types or "integer" in types:
            number = _number(schema, None if "number" in types else True)
            check_steps(pointer, number)
            found.append(number)
        return (*found, *(LiteralShape(text) for name, text in _LITERALS if name in types))

    def statements(self, pointer: str) -> list[Statement]:
        """What the subschema says through other subschemas and listed values."""
        schema = self._document.at(pointer)
        found: list[Statement] = []
        if "$ref" in schema:
            found.append(Ref(self._document.target(pointer)))
        if "enum" in schema or "const" in schema:
            listed = [schema["enum"]] if "enum" in schema else []
            listed += [[schema["const"]]] if "const" in schema else []
            found.extend(Values(tuple(dict.fromkeys(map(json.dumps, values)))) for values in listed)
        for keyword, combine in (("allOf", All), ("anyOf", Some), ("oneOf", One)):
            if keyword in schema:
                found.append(combine(tuple(At(f"{pointer}/{keyword}/{i}") for i in range(len(schema[keyword])))))
        if "not" in schema:
            found.append(Not(At(f"{pointer}/not")))
        if "if" in schema and ("then" in schema or "else" in schema):
            condition = At(f"{pointer}/if")
            branches = [(condition, "then"), (Not(condition), "else")]
            found.append(
                Some(tuple(all_of(c, At(f"{pointer}/{k}") if k in schema else TRUE) for c, k in branches)),
            )
        for keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
            for key, wanted in schema.get(keyword, {}).items():
                place = At(f"{pointer}/{keyword}/{escape(key)}")
                then = [Not(Lacks(other)) for other in wanted] if isinstance(wanted, list) else [place]
                found.append(Some((Lacks(key), all_of(Not(Lacks(key)), *then))))
        return found

    def _object(self, pointer: str, schema: dict[str, Any]) -> ObjectShape:
        def under(keyword: str) -> tuple[tuple[str, Statement], ...]:
            return tuple((key, At(f"{pointer}/{keyword}/{escape(key)}")) for key in schema.get(keyword, {}))

        rule = KeyRule(
            under("properties"),
            under("patternProperties"),
            At(f"{pointer}/additionalProperties") if "additionalProperties" in schema else None,
        )
        for source in schema.get("patternProperties", {}):
            self._languages.pattern(f"{pointer}/patternProperties/{escape(source)}", source)
        is_written = any(keyword in schema for keyword in ("properties", "patternProperties", "additionalProperties"))
        return ObjectShape(
            rules=(rule,) if is_written else (),
            required=tuple(dict.fromkeys(schema.get("required", ()))),
            low=int(schema.get("minProperties", 0)),
            high=_count(schema.get("maxProperties")),
            names=(At(f"{pointer}/propertyNames"),) if "propertyNames" in schema else (),
            pointer=pointer,
        )

    def _array(self, pointer: str, schema: dict[str, Any]) -> ArrayShape:
        draft = self._document.draft
        prefix, rest = "", "items"
        if isinstance(schema.get("items"), list):
            prefix, rest = "items", "additionalItems"
        elif "prefixItems" in schema and draft >= 2020:
            prefix = "prefixItems"
        rule = ItemRule(
            tuple(At(f"{pointer}/{prefix}/{i}") for i in range(len(schema[prefix]))) if prefix else (),
            At(f"{pointer}/{rest}") if rest in schema else None,
        )
        low, high = schema.get("minContains", 1), schema.get("maxContains")
        if draft < 2019:
            low, high = 1, None
        count = Count(At(f"{pointer}/contains"), int(low), _count(high))
        return ArrayShape(
            rules=(rule,) if rule != ItemRule() else (),
            counts=(count,) if "contains" in schema and (count.low or count.high is not None) else (),
            low=int(schema.get("minItems", 0)),
            high=_count(schema.get("maxItems")),
            distinct=f"{pointer}/uniqueItems" if schema.get("uniqueItems") else None,
        )

    def _string(self, pointer: str, schema: dict[str, Any]) -> StringShape:
        must = [self._languages.pattern(f"{pointer}/pattern", schema["pattern"])] if "pattern" in schema else []
        if schema.get("format") in FORMATS:
            must.append(("format", schema["format"]))
        return StringShape(int(schema.get("minLength", 0)), _count(schema.get("maxLength")), frozenset(must))


def shapes_besides(schema: dict[str, Any]) -> tuple[Shape, ...]:
    """The values of the types that `type` leaves out."""
    types = _types(schema)
    left_out: list[Shape] = []
    for name, shape in zip(("object", "array", "string", "number"), FREE, strict=False):
        if name not in types:
            left_out.append(replace(shape, whole=False) if name == "number" and "integer" in types else shape)
    return (*left_out, *(LiteralShape(text) for name, text in _LITERALS if name not in types))


def violations(shape: Shape) -> list[Shape]:
    """Values of a shape's type that break one thing the shape's own keywords say; together all of them."""
    match shape:
        case NumberShape():
            found: list[Shape] = [NumberShape(off_steps=frozenset([step])) for step in shape.steps]
            if shape.low is not None:
                found.append(NumberShape(high=shape.low, high_open=not shape.low_open))
            if shape.high is not None:
                found.append(NumberShape(low=shape.high, low_open=not shape.high_open))
            return found
        case StringShape():
            found = [StringShape(must_not=frozenset([key])) for key in sorted(shape.must)]
            found += [StringShape(high=shape.low - 1)] if shape.low else []
            return found + ([StringShape(low=shape.high + 1)] if shape.high is not None else [])
        case ArrayShape():
            return _array_violations(shape)
        case ObjectShape():
            says_nothing = shape == ObjectShape(pointer=shape.pointer)
            return [] if says_nothing else [ObjectShape(broken=(shape,), pointer=shape.pointer)]
    return []


def shapes_of_values(texts: Iterable[str]) -> tuple[Shape, ...]:
    """The values that JSON texts spell, those of a type gathered."""
    strings: list[str] = []
    numbers: list[Fraction] = []
    found: list[Shape] = []
    for value in map(json.loads, texts):
        match value:
            case None | True | False:
                found.append(LiteralShape(json.dumps(value)))
            case str():
                strings.append(value)
            case int() | float():
                numbers.append(exact(value))
            case list():
                items = ItemRule(_each(value), FALSE)
                found.append(ArrayShape(rules=(items,), low=len(value), high=len(value)))
            case dict():
                rule = KeyRule(tuple(zip(value, _each(value.values()), strict=True)), (), FALSE)
                found.append(ObjectShape(rules=(rule,), required=tuple(value)))
    found += [StringShape(values=tuple(strings))] if strings else []
    return (*found, *([NumberShape(values=tuple(dict.fromkeys(numbers)))] if numbers else []))


def _each(values: Iterable[Any]) -> tuple[Statement, ...]:
    return tuple(Values((json.dumps(value),)) for value in values)


def _array_violations(shape: ArrayShape) -> list[Shape]:
    found: list[Shape] = [ArrayShape(high=shape.low - 1)] if shape.low else []
    found += [ArrayShape(low=shape.high + 1)] if shape.high is not None else []
    for rule in shape.rules:
        for i, statement in enumerate(rule.prefix):
            found.append(ArrayShape(rules=(ItemRule((*[TRUE] * i, Not(statement))),), low=i + 1))
        if rule.rest is not None:
            found.append(ArrayShape(counts=(Count(Not(rule.rest), 1, start=len(rule.prefix)),)))
    for count in shape.counts:
        found += [ArrayShape(counts=(replace(count, low=0, high=count.low - 1),))] if count.low else []
        found += [ArrayShape(counts=(Count(count.statement, count.high + 1),))] if count.high is not None else []
    return found


def _number(schema: dict[str, Any], whole: bool | None) -> NumberShape:
    lows = _bounds(schema, "minimum", "exclusiveMinimum")
    highs = _bounds(schema, "maximum", "exclusiveMaximum")
    low, low_open = max(lows, default=(None, False))
    high, high_closed = min(((bound, not is_open) for bound, is_open in highs), default=(None, True))
    steps = frozenset([exact(schema["multipleOf"])]) if "multipleOf" in schema else frozenset()
    return NumberShape(whole, low, low_open, high, not high_closed, steps)


def _bounds(schema: dict[str, Any], inclusive: str, exclusive: str) -> Sequence[tuple[Fraction, bool]]:
    """(bound, whether it is left out); draft 4 writes `exclusiveMinimum: true` beside `minimum`."""
    written = schema.get(exclusive)
    found = [(exact(schema[inclusive]), written is True)] if inclusive in schema else []
    return found + ([(exact(written), True)] if written is not None and not isinstance(written, bool) else [])


def _types(schema: dict[str, Any]) -> set[str]:
    written = schema.get("type", ["null", "boolean", "number", "string", "array", "object"])
    return {written} if isinstance(written, str) else set(written)


def _count(value: float | None) -> int | None:
    return None if value is None else int(value)
