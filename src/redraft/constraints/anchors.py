"""Anchors without look-around: a pattern as a few branches, each for the text's start, its end, both or anywhere.

`a^b` is nothing, `(^|,)a` is "a" at the start or ",a" anywhere: joining two branches settles every anchor between them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from redraft.constraints.character_sets import ANY
from redraft.constraints.pattern_chars import PatternError
from redraft.constraints.tree import Chars, Either, Node, Repeat, Seq, Text

_EMPTY = Text("")
_ANY_TEXT = Repeat(Chars(ANY), 0, None)


@dataclass(frozen=True, eq=False)
class Branch:
    """The texts of `node`, only where they start (end) with the whole text if `at_start` (`at_end`)."""

    node: Node
    can_be_empty: bool
    at_start: bool = False
    at_end: bool = False
    position: int = 0  # of its anchor
    is_strict: bool = False  # a `$` that might also stand before a last newline: nothing may follow it

    @property
    def is_anchored(self) -> bool:
        return self.at_start or self.at_end


Branches = tuple[Branch, ...]
NO_TEXT = Branch(_EMPTY, True)


def plain(node: Node, can_be_empty: bool = False) -> Branches:
    """A node with no anchors."""
    return (Branch(node, can_be_empty),)


def sequence(parts: Iterable[Branches]) -> Branches:
    """One part after another. Raises PatternError where something follows a strict end."""
    result: Branches = (NO_TEXT,)
    for is_plain, run in groupby(parts, lambda part: len(part) == 1 and not part[0].is_anchored):
        for part in [_plain_sequence([branch for (branch,) in run])] if is_plain else run:
            joined = (_join(first, second) for first in result for second in part)
            result = either([tuple(branch for branch in joined if branch)])
    return result


def _plain_sequence(branches: list[Branch]) -> Branches:
    nodes: list[Node] = []
    for branch in branches:
        if nodes and isinstance(nodes[-1], Text) and isinstance(branch.node, Text):
            nodes[-1] = Text(nodes[-1].text + branch.node.text)
        else:
            nodes.append(branch.node)
    return plain(_seq(nodes), all(branch.can_be_empty for branch in branches))


def _seq(nodes: Iterable[Node]) -> Node:
    kept = tuple(node for node in nodes if not _is_empty(node))
    return Seq(kept) if len(kept) > 1 else kept[0] if kept else _EMPTY


def _is_empty(node: Node) -> bool:
    return isinstance(node, Text) and not node.text


def _join(first: Branch, second: Branch) -> Branch | None:
    """Both in a row; None where an anchor between them cannot hold."""
    if first.is_strict and not (_is_empty(second.node) and second.can_be_empty):
        raise PatternError("a $ that something follows is not supported", first.position)
    if (first.at_end and not second.can_be_empty) or (second.at_start and not first.can_be_empty):
        return None
    # What a start anchor follows, and what an end anchor precedes, has to be empty.
    nodes = (_EMPTY if second.at_start else first.node, _EMPTY if first.at_end else second.node)
    return Branch(
        _seq(nodes),
        first.can_be_empty and second.can_be_empty,
        first.at_start or second.at_start,
        first.at_end or second.at_end,
        max(first.position, second.position),
        first.is_strict or second.is_strict,
    )


def either(options: Iterable[Branches]) -> Branches:
    """Any of the options; at most one branch per kind of anchoring."""
    kinds: dict[tuple[bool, bool, bool], list[Branch]] = {}
    for branch in (branch for option in options for branch in option):
        kinds.setdefault((branch.at_start, branch.at_end, branch.is_strict), []).append(branch)
    return tuple(map(_merge, kinds.values()))


def _merge(branches: list[Branch]) -> Branch:
    if len(branches) == 1:
        return branches[0]
    nodes = tuple(branch.node for branch in branches)
    return replace(branches[0], node=Either(nodes), can_be_empty=any(branch.can_be_empty for branch in branches))


def repeat(branches: Branches, low: int, high: int | None) -> Branches:
    """`low` to `high` times. Raises PatternError for an anchor that would be repeated."""
    if high == 0 or not branches:
        return () if low and high != 0 else (NO_TEXT,)
    if high == 1:
        return branches if low else either([(NO_TEXT,), branches])
    anchored = [branch for branch in branches if branch.is_anchored]
    if anchored:
        raise PatternError("an anchor inside a repeat is not supported", anchored[0].position)
    can_be_empty = low == 0 or any(branch.can_be_empty for branch in branches)
    return plain(Repeat(_merge(list(branches)).node, low, high), can_be_empty)


def whole(branches: Branches) -> Node:
    """The texts that match from end to end."""
    return _options([branch.node for branch in branches])


def somewhere(branches: Branches) -> Node:
    """The texts that hold a match."""
    ends = ((_EMPTY if b.at_start else _ANY_TEXT, b.node, _EMPTY if b.at_end else _ANY_TEXT) for b in branches)
    return _options([_seq(parts) for parts in ends])


def _options(nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else Either(tuple(nodes))
