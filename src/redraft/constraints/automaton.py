"""Syntax tree -> minimal deterministic automaton over bytes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from redraft.constraints.limits import Limits, Meter
from redraft.constraints.machine import FIRST_SPECIAL, MARK, Machine, product
from redraft.constraints.minimal import minimize
from redraft.constraints.network import NetworkBuilder
from redraft.constraints.sharing import SharingPlan
from redraft.constraints.subsets import determinize
from redraft.constraints.tree import Both, Minus, Node
from redraft.errors import InvalidRequest

DEAD = -1
MAX_DEPTH = 80  # of intersections, differences and shared parts inside one another; each costs Python stack
_ALL_BYTES = (1 << 256) - 1


@dataclass(frozen=True, eq=False)
class ByteAutomaton:
    """Minimal deterministic automaton of a constraint; every state but a lone start can still reach acceptance."""

    transitions: np.ndarray  # int32 [S, 256]: state after a byte, -1 dead
    accepting: np.ndarray  # bool [S]
    marked: np.ndarray  # int32 [S]: state after a token begins (the state itself unless a hole counts tokens), -1 dead
    specials: np.ndarray  # int32 [n, 3]: source, control token id, target
    start: int = 0

    @property
    def num_states(self) -> int:
        return len(self.accepting)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is accepted."""
        return not self.accepting.any()

    def matches(self, data: bytes) -> bool:
        """Whether the bytes are in the language; how many tokens a hole takes does not matter here."""
        state = self.start
        for byte in data:
            state = self._rows[state][byte]
            if state == DEAD:
                return False
        return bool(self.accepting[state])

    def shortest_length(self) -> int | None:
        """Fewest bytes of an accepted text (control tokens count none); None where nothing is accepted."""
        length, seen = 0, np.zeros(self.num_states, dtype=bool)
        layer = self._with_specials(np.array([self.start]), seen)
        while len(layer):
            if self.accepting[layer].any():
                return length
            after = np.unique(self.transitions[layer])
            layer = self._with_specials(after[(after != DEAD) & ~seen[after]], seen)
            length += 1
        return None

    def _with_specials(self, layer: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The layer and what control tokens add to it; marks them in `seen`, in place."""
        found = layer
        while len(layer):
            seen[layer] = True
            layer = np.unique(self.specials[np.isin(self.specials[:, 0], layer), 2])
            layer = layer[~seen[layer]]
            found = np.concatenate([found, layer])
        return found

    @cached_property
    def _rows(self) -> list[list[int]]:
        return self.transitions.tolist()


def compile_tree(tree: Node, limits: Limits | None = None, meter: Meter | None = None) -> ByteAutomaton:
    """The automaton of a tree, possibly of the empty language; InvalidRequest with the numbers past a limit.

    `meter` carries on a compilation that has begun; else `limits` (default Limits()) starts one.
    """
    meter = meter or Meter(limits or Limits())
    return _to_bytes(_Compiler(meter).machine(tree), meter)


class _Compiler:
    """Compiles the parts of one tree; equal objects once. It keeps them alive, so their identities stay theirs."""

    def __init__(self, meter: Meter):
        self._meter = meter
        self._machines: dict[int, tuple[Node, Machine]] = {}
        self._plan = SharingPlan()
        self._depth = 0

    def machine(self, tree: Node) -> Machine:
        if id(tree) not in self._machines:
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise InvalidRequest(f"constraint: parts compiled on their own nest deeper than {MAX_DEPTH}, the limit")
            self._machines[id(tree)] = (tree, minimize(self._raw(tree), self._meter))
            self._depth -= 1
        return self._machines[id(tree)][1]

    def _raw(self, tree: Node) -> Machine:
        if not isinstance(tree, Both | Minus):
            return determinize(NetworkBuilder(self.machine, self._plan, self._meter).build(tree), self._meter)
        first, second = self.machine(tree.first), self.machine(tree.second)
        assert not first.specials and not second.specials, "Both and Minus hold no Special"
        return product(first, second, isinstance(tree, Minus), self._meter)


def _to_bytes(machine: Machine, meter: Meter) -> ByteAutomaton:
    num_states = len(machine.edges)
    meter.check_states(num_states)
    by_mask: dict[int, tuple[list[int], list[int]]] = {}
    marked = np.arange(num_states, dtype=np.int32)
    if any(mask >> MARK & 1 for edges in machine.edges for mask, _ in edges):
        marked[:] = DEAD
    specials = []
    for source, edges in enumerate(machine.edges):
        for mask, target in edges:
            sources, targets = by_mask.setdefault(mask & _ALL_BYTES, ([], []))
            sources.append(source)
            targets.append(target)
            if mask >> MARK & 1:
                marked[source] = target
            used = (token for bit, token in enumerate(machine.specials, FIRST_SPECIAL) if mask >> bit & 1)
            specials.extend((source, token, target) for token in used)
    transitions = np.full((num_states, 256), DEAD, dtype=np.int32)
    for mask, (sources, targets) in by_mask.items():
        bytes_of_mask = np.unpackbits(np.frombuffer(mask.to_bytes(32, "little"), np.uint8), bitorder="little")
        transitions[np.array(sources)[:, None], np.flatnonzero(bytes_of_mask)] = np.array(targets)[:, None]
    return ByteAutomaton(
        transitions=transitions,
        accepting=np.array(machine.accepting, dtype=bool),
        marked=marked,
        specials=np.array(specials, dtype=np.int32).reshape(-1, 3),
    )
