"""Whole prefill chunks that are kept after their request, as a tree: a chunk means something only after its parents."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from redraft.cache.groups import PageGroup


@dataclass(eq=False)
class Prefix:
    """One chunk of tokens after its parent's, and the pages that hold it; a sliding page may have been given up."""

    parent: "Prefix | None"
    token_ids: tuple[int, ...]
    full: list[int]
    sliding: list[int | None]
    children: dict[tuple[int, ...], "Prefix"] = field(default_factory=dict)
    num_users: int = 0  # tables that may add a child to it
    last_used: int = 0


class PrefixIndex:
    """Remembers chunks and evicts the least recently used. It is one holder of each of its pages."""

    def __init__(self, full: PageGroup, sliding: PageGroup):
        self._full, self._sliding = full, sliding
        self._clock = 0
        self.root = Prefix(None, (), [], [])
        self.num_prefixes = 0

    def find(self, token_ids: Sequence[int], chunk: int) -> list[Prefix]:
        """The longest chain of remembered chunks that `token_ids` begin with."""
        chain, node = [], self.root
        for start in range(0, len(token_ids) - chunk + 1, chunk):
            child = node.children.get(tuple(token_ids[start : start + chunk]))
            if child is None:
                break
            chain.append(child)
            node = child
        return chain

    def attach(self, prefix: Prefix) -> None:
        """One user more: neither it nor its parents are evicted."""
        prefix.num_users += 1
        self._touch(prefix)

    def detach(self, prefix: Prefix) -> None:
        prefix.num_users -= 1
        self._touch(prefix)

    def remember(
        self, parent: Prefix, token_ids: tuple[int, ...], full: Sequence[int], sliding: Sequence[int | None]
    ) -> Prefix:
        """The chunk after `parent`, held from now on; its user moves on from `parent` to it.

        A chunk that is known already keeps its pages, and takes sliding pages it had given up from the newcomer.
        """
        child = parent.children.get(token_ids)
        if child is None:
            child = Prefix(parent, token_ids, list(full), [None] * len(sliding))
            parent.children[token_ids] = child
            self.num_prefixes += 1
            self._full.hold(full)
        for number, page in enumerate(sliding):
            if child.sliding[number] is None and page is not None:
                self._sliding.hold([page])
                child.sliding[number] = page
        self.attach(child)
        self.detach(parent)
        return child

    def num_evictable(self) -> int:
        """Full pages that eviction could free: those of chunks without users, in themselves or after them."""
        used = set()
        for prefix in self._walk():
            node: Prefix | None = prefix if prefix.num_users else None
            while node is not None:
                used.add(node)
                node = node.parent
        return sum(len(prefix.full) for prefix in self._walk() if prefix not in used)

    def make_room(self, full: int = 0, sliding: int = 0) -> None:
        """Evict, oldest first, until so many pages are free."""
        while self._full.num_free < full:
            self._forget(min((p for p in self._walk() if not p.children and not p.num_users), key=_age))
        while self._sliding.num_free < sliding:
            # Of one chain the first chunks go first: the last window is what makes it usable.
            prefix = min((p for p in self._walk() if any(True for _ in self._loose_sliding(p))), key=_age)
            for number in list(self._loose_sliding(prefix)):
                self._give_up(prefix, number)

    def _walk(self) -> Iterator[Prefix]:
        """All chunks, parents first."""
        waiting = list(self.root.children.values())
        while waiting:
            prefix = waiting.pop()
            yield prefix
            waiting += prefix.children.values()

    def _loose_sliding(self, prefix: Prefix) -> Iterator[int]:
        """Numbers of the sliding pages that only the index holds."""
        for number, page in enumerate(prefix.sliding):
            if page is not None and self._sliding.num_holders(page) == 1:
                yield number

    def _give_up(self, prefix: Prefix, number: int) -> None:
        page = prefix.sliding[number]
        assert page is not None
        self._sliding.drop(page)
        prefix.sliding[number] = None

    def _forget(self, prefix: Prefix) -> None:
        assert prefix.parent is not None
        del prefix.parent.children[prefix.token_ids]
        self.num_prefixes -= 1
        for page in prefix.full:
            self._full.drop(page)
        for number, page in enumerate(prefix.sliding):
            if page is not None:
                self._give_up(prefix, number)

    def _touch(self, prefix: Prefix) -> None:
        """A chunk and its parents were used now; a parent counts as older than its child."""
        self._clock += 1
        node: Prefix | None = prefix
        while node is not None:
            node.last_used = self._clock
            node = node.parent


def _age(prefix: Prefix) -> tuple[int, int]:
    depth, node = 0, prefix.parent
    while node is not None:
        depth, node = depth + 1, node.parent
    return prefix.last_used, depth
