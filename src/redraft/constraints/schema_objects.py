"""Objects of a shape: which keys in which order, and the tree of their JSON texts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from redraft.constraints.combine import EMPTY_TEXT, NOTHING, either, optional, sequence
from redraft.constraints.json_strings import FREE_STRING
from redraft.constraints.schema_document import refuse
from redraft.constraints.schema_expand import MAX_ALTERNATIVES, Expander
from redraft.constraints.schema_meet import meet
from redraft.constraints.schema_shapes import (
    FALSE,
    TRUE,
    Not,
    ObjectShape,
    Statement,
    StringShape,
    Values,
    all_of,
)
from redraft.constraints.tree import Node, Repeat, Text

MAX_PATTERNS = 4  # patternProperties of one object; keys are told apart by every combination of them
MAX_COUNTED = 20_000
ANYTHING = Not(FALSE)
COMMA = sequence(Text(","), optional(Text(" ")))
COLON = sequence(Text(":"), optional(Text(" ")))


@dataclass(frozen=True)
class Member:
    """One key that the schema names, and what its value must fulfil."""

    key: str
    value: Statement
    is_required: bool


@dataclass(frozen=True)
class ObjectPlan:
    """Named members in order, then other keys where there may be any; the logic of the shape is worked in."""

    members: tuple[Member, ...]
    absent: frozenset[str]
    low: int
    high: int | None

    def member(self, key: str) -> Member | None:
        return next((member for member in self.members if member.key == key), None)

    def requiring(self, key: str, value: Statement) -> "ObjectPlan":
        """The plan with the key present and its value fulfilling the statement."""
        wanted = Member(key, value, True)
        if self.member(key) is None:
            return replace(self, members=(*self.members, wanted))
        return replace(self, members=tuple(wanted if member.key == key else member for member in self.members))

    def lacking(self, key: str) -> "ObjectPlan":
        """The plan without the key."""
        kept = tuple(member for member in self.members if member.key != key)
        return replace(self, members=kept, absent=self.absent | {key})


class ObjectWriter:
    """Trees for the objects of one shape; `write` makes the tree of a value's texts from its statement."""

    def __init__(self, shape: ObjectShape, expander: Expander, write: Callable[[Statement], Node]):
        self._shape = shape
        self._expander = expander
        self._write = write
        self.is_free = is_free(shape)

    def node(self) -> Node:
        return either(*(self._plan_node(plan) for plan in self._plans()))

    def _plans(self) -> list[ObjectPlan]:
        shape = self._shape
        named = dict.fromkeys(key for rule in shape.rules for key, _ in rule.properties)
        required = frozenset(shape.required)
        members = [
            Member(key, _said(self._expander.value_of(shape, key)), key in required)
            for key in (*named, *(key for key in shape.required if key not in named))
            if key not in shape.absent
        ]
        misnamed = [member for member in members if not self._is_key(member.key, shape.names)]
        if any(member.is_required for member in misnamed):
            return []
        absent = shape.absent.union(member.key for member in misnamed)
        allowed = [member for member in members if member.key not in absent]
        plans = [ObjectPlan(tuple(allowed), absent, shape.low, shape.high)]
        for broken in shape.broken:
            plans = [changed for plan in plans for changed in self._breaking(plan, broken)]
            if len(plans) > MAX_ALTERNATIVES:
                raise refuse(shape.pointer, f"excludes in more than {MAX_ALTERNATIVES} ways, the limit")
        return plans

    def _is_key(self, key: str, names: tuple[Statement, ...]) -> bool:
        return _may_be_key(self._expander, key, names)

    def _breaking(self, plan: ObjectPlan, broken: ObjectShape) -> list[ObjectPlan]:
        """Plans whose union is the part of a plan that breaks what another shape says."""
        unlikely = [key for key in broken.required if plan.member(key) is None and not self._may_be_other(plan, key)]
        if unlikely:
            return [plan]
        is_required = {member.key for member in plan.members if member.is_required}
        found = [plan.lacking(key) for key in broken.required if key not in is_required]
        found += [replace(plan, high=_lower(plan.high, broken.low - 1))] if broken.low else []
        found += [replace(plan, low=max(plan.low, broken.high + 1))] if broken.high is not None else []
        named = [member.key for member in plan.members] + [key for rule in broken.rules for key, _ in rule.properties]
        for key in dict.fromkeys(named + sorted(broken.absent)):
            member = plan.member(key)
            if member is None and not self._may_be_other(plan, key):
                continue
            value = member.value if member else self._expander.value_of(self._shape, key)
            if key in broken.absent or not _may_be_key(self._expander.to_any, key, broken.names):
                found.append(plan.requiring(key, value))
                continue
            wrong = all_of(value, Not(self._expander.value_of(broken, key)))
            if self._expander.may_hold(wrong):
                found.append(plan.requiring(key, wrong))
        return found

    def _may_be_other(self, plan: ObjectPlan, key: str) -> bool:
        """Whether a key that no member has can be written all the same."""
        if key in plan.absent or not self._is_key(key, self._shape.names):
            return False
        fits = self._expander.languages.fits
        return self.is_free or any(rule.about(key, fits) is not None for rule in self._shape.rules)

    def _plan_node(self, plan: ObjectPlan) -> Node:
        others = either(*(sequence(key, COLON, value) for key, value in self._others(plan)))
        members = []
        for member in plan.members:
            value = self._write(member.value)
            if value is not NOTHING:
                key = self._expander.languages.quoted(Text(member.key))
                members.append((sequence(key, COLON, value), member.is_required))
            elif member.is_required:
                return NOTHING
        num_required = sum(is_required for _, is_required in members)
        low = plan.low if plan.low > num_required else 0
        num_possible = len(members) + (others is not NOTHING)
        if low > num_possible and others is not NOTHING:
            why = f"{plan.low} keys, of which the schema names {len(members)}; others might repeat"
            raise refuse(f"{self._shape.pointer}/minProperties", why)
        high = plan.high if plan.high is not None and (plan.high < len(members) or others is not NOTHING) else None
        if low > num_possible or (high is not None and high < num_required):
            return NOTHING
        top = min(len(members), low if high is None else max(low, high))
        if len(members) * top > MAX_COUNTED:
            why = f"counting {len(members)} keys to {top} takes too many states"
            raise refuse(f"{self._shape.pointer}/{'minProperties' if high is None else 'maxProperties'}", why)
        if low or high is not None:
            return sequence(Text("{"), _counted(members, others, low, high))
        return sequence(Text("{"), _uncounted(members, others))

    def _others(self, plan: ObjectPlan) -> Iterator[tuple[Node, Node]]:
        """(tree of keys, tree of values) for keys that are not members, by the patterns that they match."""
        shape, languages = self._shape, self._expander.languages
        patterns = tuple(dict.fromkeys(pattern for rule in shape.rules for pattern, _ in rule.patterns))
        if len(patterns) > MAX_PATTERNS:
            raise refuse(f"{shape.pointer}/patternProperties", f"{len(patterns)} together, the limit is {MAX_PATTERNS}")
        taken = plan.absent.union(member.key for member in plan.members)
        for chosen in product((True, False), repeat=len(patterns)):
            matched = {pattern for pattern, is_matched in zip(patterns, chosen, strict=True) if is_matched}
            said = [rule.about_others(matched) for rule in shape.rules]
            if not self.is_free and all(statement is None for statement in said):
                continue
            value = self._write(all_of(*(statement or TRUE for statement in said)))
            if value is NOTHING:
                continue
            keys = StringShape(
                must=frozenset(("pattern", pattern) for pattern in matched),
                must_not=frozenset(("pattern", pattern) for pattern in patterns if pattern not in matched),
                without=taken,
            )
            if keys == StringShape() and not shape.names:
                yield FREE_STRING, value
                continue
            allowed = self._expander.shapes(all_of(*shape.names))
            met = [meet(keys, other, self._expander.admits) for other in allowed]
            yield either(*(languages.written(key) for key in met if isinstance(key, StringShape))), value


def _may_be_key(expander: Expander, key: str, names: tuple[Statement, ...]) -> bool:
    return not names or expander.may_hold(all_of(*names, Values((json.dumps(key),))))


def is_free(shape: ObjectShape) -> bool:
    """Whether the schema names no keys and no rule for keys, so that any may be written."""
    return not shape.rules and not shape.required


def _said(statement: Statement) -> Statement:
    """The statement; where it is TRUE, another that holds always but is not taken for the schema's silence."""
    return ANYTHING if statement == TRUE else statement


def _lower(first: int | None, second: int) -> int:
    return second if first is None else min(first, second)


def _uncounted(members: list[tuple[Node, bool]], others: Node) -> Node:
    """Members in order, optional ones present or not, then other members, and the closing brace.

    Built from the end: what follows once something is written (`more`), and what follows while nothing is (`first`).
    Both share their tails, so the tree's objects are linear in the members.
    """
    more = sequence(Repeat(sequence(COMMA, others), 0, None) if others is not NOTHING else EMPTY_TEXT, Text("}"))
    first = either(Text("}"), sequence(others, more))
    for member, is_required in reversed(members):
        begun = sequence(member, more)
        first = begun if is_required else either(begun, first)
        following = sequence(COMMA, member)
        more = sequence(following if is_required else optional(following), more)
    return first


def _counted(members: list[tuple[Node, bool]], others: Node, low: int, high: int | None) -> Node:
    """As `_uncounted`, with `low` to `high` members; towards `low` others count once, for they might repeat a key."""
    top = min(len(members), low if high is None else max(low, high))  # more written than this is all the same
    row = [_rest(num_written, others, low, high) for num_written in range(top + 1)]
    for member, is_required in reversed(members):
        shorter = []
        for num_written in range(top + 1):
            is_full = high is not None and num_written >= high
            begun = sequence(COMMA if num_written else EMPTY_TEXT, member, row[min(num_written + 1, top)])
            skipped = NOTHING if is_required else row[num_written]
            shorter.append(either(NOTHING if is_full else begun, skipped))
        row = shorter
    return row[0]


def _rest(num_written: int, others: Node, low: int, high: int | None) -> Node:
    """Other members after `num_written` named ones, and the closing brace; NOTHING where the bounds cannot be kept."""
    left = None if high is None else high - num_written
    if left is not None and left < 0:
        return NOTHING
    is_enough = num_written >= low
    if others is NOTHING or left == 0:
        return Text("}") if is_enough else NOTHING
    if num_written + 1 < low:
        return NOTHING
    more = Repeat(sequence(COMMA, others), 0, None if left is None else left - 1)
    some = sequence(COMMA if num_written else EMPTY_TEXT, others, more, Text("}"))
    return either(Text("}"), some) if is_enough else some
