"""The smallest machine of a language."""

from collections import defaultdict
from collections.abc import Hashable

from redraft.constraints.limits import Meter
from redraft.constraints.machine import Edges, Machine


def minimize(machine: Machine, meter: Meter) -> Machine:
    """The smallest machine of the same language, states numbered from the start outwards."""
    return _Refinement(_without_dead(machine), meter).run()


def _without_dead(machine: Machine) -> Machine:
    """The machine less the states that cannot reach acceptance; the start stays."""
    before = _predecessors(machine.edges)
    alive = {state for state, accepts in enumerate(machine.accepting) if accepts}
    todo = list(alive)
    while todo:
        fresh = [source for source in before[todo.pop()] if source not in alive]
        alive.update(fresh)
        todo.extend(fresh)
    if len(alive) == len(machine.edges):
        return machine
    kept = sorted(alive | {0})
    numbers = {state: number for number, state in enumerate(kept) if state in alive}
    edges = [[(mask, numbers[to]) for mask, to in machine.edges[state] if to in numbers] for state in kept]
    return Machine(edges, [machine.accepting[state] for state in kept], machine.specials)


class _Refinement:
    """Moore's refinement of blocks of states, looking again only at states before a moved one, and moving the smaller
    parts of a block (as Hopcroft does). It starts from the distance to acceptance, which equal states share, so that
    long literals are told apart at once.
    """

    def __init__(self, machine: Machine, meter: Meter):
        self._machine = machine
        self._edges = machine.edges
        self._meter = meter
        self._before = _predecessors(machine.edges)
        self._blocks = self._distances()
        self._members: list[set[int]] = [set() for _ in range(max(self._blocks) + 1)]
        for state, block in enumerate(self._blocks):
            self._members[block].add(state)

    def run(self) -> Machine:
        changed = set(range(len(self._edges)))
        while changed:
            self._meter.check_time()
            moved = self._split(changed)
            changed = {source for state in moved for source in self._before[state]}
        return self._quotient()

    def _distances(self) -> list[int]:
        """Per state, the fewest symbols to acceptance (a start that has no way counts as accepting nothing: 1)."""
        distances = [0 if accepts else -1 for accepts in self._machine.accepting]
        layer = [state for state, accepts in enumerate(self._machine.accepting) if accepts]
        steps = 0
        while layer:
            steps += 1
            layer = list({source for state in layer for source in self._before[state] if distances[source] < 0})
            for source in layer:
                distances[source] = steps
        return distances if distances[0] >= 0 else [1]

    def _split(self, changed: set[int]) -> list[int]:
        """Splits blocks where their changed states differ; returns the states that got a new block."""
        parts: dict[int, dict[Hashable, list[int]]] = defaultdict(lambda: defaultdict(list))
        for state in changed:
            parts[self._blocks[state]][self._signature(state)].append(state)
        leaving: list[list[int]] = []
        for block, by_signature in parts.items():
            inside = self._members[block]
            rest: list[list[int]] = []
            if sum(map(len, by_signature.values())) < len(inside):
                # The unchanged states of a block still agree, so one of them speaks for all.
                spokesman = next(state for state in inside if state not in changed)
                by_signature.pop(self._signature(spokesman), None)
                rest = [list(inside.difference(*by_signature.values()))] if by_signature else []
            groups = sorted([*by_signature.values(), *rest], key=len)
            leaving.extend(groups[:-1])
            inside.difference_update(*groups[:-1])
        for group in leaving:
            for state in group:
                self._blocks[state] = len(self._members)
            self._members.append(set(group))
        return [state for group in leaving for state in group]

    def _signature(self, state: int) -> Hashable:
        """Which symbols lead to which blocks; equal exactly if they do so alike."""
        blocks, edges = self._blocks, self._edges[state]
        if len(edges) == 1:
            return blocks[edges[0][1]], edges[0][0]
        merged: dict[int, int] = {}
        for mask, target in edges:
            block = blocks[target]
            merged[block] = merged.get(block, 0) | mask
        return next(iter(merged.items())) if len(merged) == 1 else frozenset(merged.items())

    def _quotient(self) -> Machine:
        """One state per block, those reached from the start."""
        numbers, order = {self._blocks[0]: 0}, [0]
        edges: list[Edges] = []
        while len(edges) < len(order):
            merged: dict[int, int] = {}
            for mask, target in self._edges[order[len(edges)]]:
                number = numbers.setdefault(self._blocks[target], len(order))
                if number == len(order):
                    order.append(target)
                merged[number] = merged.get(number, 0) | mask
            edges.append([(mask, target) for target, mask in merged.items()])
        return Machine(edges, [self._machine.accepting[state] for state in order], self._machine.specials)


def _predecessors(edges: list[Edges]) -> list[list[int]]:
    before: list[list[int]] = [[] for _ in edges]
    for source, outgoing in enumerate(edges):
        for _, target in outgoing:
            before[target].append(source)
    return before
