"""Which nodes of a tree are worth compiling on their own, because they stand in several places."""

from collections import defaultdict
from math import inf

from redraft.constraints.tree import Both, Either, FreeTokens, Minus, Node, Repeat, Seq, Special, Text

LARGE_PART = 64  # states, by rough count, from which it pays


class SharingPlan:
    """Sizes and places of all nodes of the trees added to it, by identity; the caller keeps the trees alive."""

    def __init__(self):
        self._sizes: dict[int, float] = {}
        self._inner: set[int] = set()

    def add(self, tree: Node) -> None:
        """Takes in a tree; parts of one that is in already cost nothing."""
        if id(tree) not in self._sizes:
            self._sizes.update(text_sizes(tree))
            self._inner.update(_inner_nodes(tree))

    def is_part(self, node: Node, has_other_end: bool) -> bool:
        """Whether to compile the node by itself: it is large and is, or will be, followed by different things."""
        return LARGE_PART <= self._sizes[id(node)] < inf and (has_other_end or id(node) in self._inner)


def text_sizes(tree: Node) -> dict[int, float]:
    """Rough number of states of each node written out, by identity; infinite where it holds control tokens or holes."""
    sizes: dict[int, float] = {}
    todo = [tree]
    while todo:
        node = todo[-1]
        inner = _children(node)
        waiting = [child for child in inner if id(child) not in sizes]
        todo.extend(waiting)
        if waiting:
            continue
        todo.pop()
        size = sum(sizes[id(child)] for child in inner) + (len(node.text) if isinstance(node, Text) else 1)
        sizes[id(node)] = inf if isinstance(node, Special | FreeTokens) else size * _copies(node)
    return sizes


def _inner_nodes(tree: Node) -> set[int]:
    """Identities of the nodes that stand in several places, not all of them at the end of what they stand in."""
    places: dict[int, int] = defaultdict(int)
    seen, inner, todo = {id(tree)}, set(), [tree]
    while todo:
        node = todo.pop()
        children = _children(node)
        ends = len(children) - 1 if isinstance(node, Seq) else 0 if isinstance(node, Either) else len(children)
        inner.update(map(id, children[:ends]))
        for child in children:
            places[id(child)] += _copies(node)
            if id(child) not in seen:
                seen.add(id(child))
                todo.append(child)
    return {child for child in inner if places[child] > 1}


def _copies(node: Node) -> int:
    """How often the node's children are written out."""
    if not isinstance(node, Repeat):
        return 1
    return node.low + 1 if node.high is None else max(node.high, 1)


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Seq):
        return node.parts
    if isinstance(node, Either):
        return node.options
    if isinstance(node, Repeat):
        return (node.node,)
    return (node.first, node.second) if isinstance(node, Both | Minus) else ()
