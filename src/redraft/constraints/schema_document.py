"""A JSON schema document: its subschemas by JSON pointer, where references lead, whether keywords are well-formed."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from redraft.constraints.schema_keywords import check_keywords, subschemas
from redraft.errors import InvalidRequest

MAX_SUBSCHEMAS = 20_000
MAX_DEPTH = 64  # of subschemas inside one another, as written
DRAFTS = {"draft-04": 4, "draft-06": 6, "draft-07": 7, "2019-09": 2019, "2020-12": 2020}


def refuse(pointer: str, why: str) -> InvalidRequest:
    """The exception that names a place in the schema and what is wrong there."""
    return InvalidRequest(f"JSONSchema #{pointer}: {why}")


class SchemaDocument:
    """A schema whose reachable part has been checked; subschemas are named by their JSON pointers ("" is the root)."""

    def __init__(self, schema: Any):
        _check_json(schema)
        self._root = schema
        self._bases: dict[str, str] = {}
        self._named: dict[str, str] = {"": ""}
        self.draft = self._read_draft()
        for pointer, subschema, base in self._walk_all():
            self._register(pointer, subschema, base)
        self._targets: dict[str, frozenset[str]] = {}
        self._scan()
        self._recursive = {pointer for pointer in self._targets if self._returns(pointer)}

    def at(self, pointer: str) -> Any:
        """The value at a JSON pointer of this document; InvalidRequest where there is none."""
        value = self._root
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise refuse(pointer, "a $ref leads here, where the schema has nothing")
        return value

    def target(self, pointer: str) -> str:
        """The pointer that the `$ref` of the subschema at `pointer` leads to."""
        reference = self.at(pointer)["$ref"]
        whole = urljoin(self._base(pointer), reference)
        resource, fragment = urldefrag(whole)
        if whole.rstrip("#") in self._named:
            return self._named[whole.rstrip("#")]
        if resource not in self._named or (fragment and not fragment.startswith("/")):
            raise refuse(
                f"{pointer}/$ref", f"{reference!r} is not in this schema; only references inside it are followed"
            )
        return self._named[resource] + unquote(fragment)

    def follows_only_ref(self, subschema: dict) -> bool:
        """Whether keywords beside the subschema's `$ref` count for nothing, as up to draft 7."""
        return "$ref" in subschema and self.draft <= 7

    def is_recursive(self, pointer: str) -> bool:
        """Whether following the reference to this pointer can lead to the same reference again."""
        return pointer in self._recursive

    def _read_draft(self) -> int:
        written = self._root.get("$schema", "2020-12") if isinstance(self._root, dict) else "2020-12"
        if isinstance(written, str) and "draft-03" in written:
            raise refuse("/$schema", f"{written!r}; drafts 4 to 2020-12 are supported")
        return next((draft for name, draft in DRAFTS.items() if name in str(written)), 2020)

    def _walk_all(self) -> Iterator[tuple[str, dict, str]]:
        """Every subschema that is an object, definitions included, with the base URI it stands in."""
        todo: list[tuple[str, Any, str, int]] = [("", self._root, "", 0)]
        num_seen = 0
        while todo:
            pointer, subschema, base, depth = todo.pop()
            num_seen += 1
            if depth > MAX_DEPTH or num_seen > MAX_SUBSCHEMAS:
                what = (
                    f"more than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"more than {MAX_SUBSCHEMAS:,} subschemas"
                )
                raise refuse(pointer[:200], f"{what}, the limit")
            if not isinstance(subschema, dict):
                continue
            base = urljoin(base, self._own_id(subschema))
            yield pointer, subschema, base
            todo.extend((pointer + step, child, base, depth + 1) for step, child in subschemas(subschema, True))

    def _own_id(self, subschema: dict) -> str:
        if self.follows_only_ref(subschema):
            return ""
        written = subschema.get("id" if self.draft == 4 else "$id", "")
        return written if isinstance(written, str) else ""

    def _register(self, pointer: str, subschema: dict, base: str) -> None:
        self._bases[pointer] = base
        if self._own_id(subschema) or not pointer:
            self._named.setdefault(base.rstrip("#"), pointer)
        if isinstance(subschema.get("$anchor"), str):
            self._named.setdefault(urljoin(base, "#" + subschema["$anchor"]), pointer)

    def _base(self, pointer: str) -> str:
        """The base URI of the innermost known subschema around a pointer, without fragment."""
        while pointer not in self._bases:
            pointer = pointer.rpartition("/")[0]
        return urldefrag(self._bases[pointer]).url

    def _scan(self) -> None:
        """Finds what each reference target refers to, and checks every subschema that can be reached."""
        checked: set[str] = set()
        todo, num_steps = [""], 0
        while todo:
            pointer = todo.pop()
            if pointer in self._targets:
                continue
            found = set()
            for place in self._reachable(pointer, checked):
                num_steps += 1
                if num_steps > 10 * MAX_SUBSCHEMAS:
                    raise refuse(pointer[:200], "references overlap too much to follow them all")
                if "$ref" in self.at(place):
                    found.add(self.target(place))
            self._targets[pointer] = frozenset(found)
            todo.extend(found)

    def _reachable(self, pointer: str, checked: set[str]) -> Iterator[str]:
        """Pointers of the object subschemas inside one, itself included, checking those not in `checked`."""
        todo = [pointer]
        while todo:
            place = todo.pop()
            subschema = self.at(place)
            if place not in checked:
                checked.add(place)
                for step, why in check_keywords(subschema):
                    raise refuse(place + step, why)
            if not isinstance(subschema, dict):
                continue
            yield place
            if not self.follows_only_ref(subschema):
                todo.extend(place + step for step, _ in subschemas(subschema, False))

    def _returns(self, start: str) -> bool:
        seen, todo = set(), list(self._targets[start])
        while todo:
            pointer = todo.pop()
            if pointer == start:
                return True
            if pointer not in seen:
                seen.add(pointer)
                todo.extend(self._targets[pointer])
        return False


def _check_json(schema: Any) -> None:
    try:
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise refuse("", "holds a lone surrogate, which no valid text does") from error
    except (TypeError, ValueError) as error:
        raise refuse("", f"is not JSON: {error}") from error
    except RecursionError as error:
        raise refuse("", f"more than {MAX_DEPTH} levels, the limit") from error
