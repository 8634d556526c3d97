"""Deterministic machines over symbol sets: subset construction, minimisation, products.

Sparse on purpose: a state of a constraint has few edges, each with a set of symbols held as the bits of an int.
"""

from collections import defaultdict
from dataclasses import dataclass

from redraft.constraints.limits import Meter
from redraft.constraints.network import DROPPED, MARK, Network

Edges = list[tuple[int, int]]  # (mask of symbols, target); masks of one state are disjoint, targets differ


@dataclass(frozen=True, eq=False)
class Machine:
    """Deterministic automaton; state 0 is the start, a symbol on no edge is refused."""

    edges: list[Edges]
    accepting: list[bool]
    specials: tuple[int, ...] = ()  # control tokens of the symbols from FIRST_SPECIAL on


def determinize(network: Network, meter: Meter) -> Machine:
    """The machine of the subsets of network states that one text can lead to; not minimal."""
    return _SubsetConstruction(network, meter).run()


class _SubsetConstruction:
    """A state here is a set of network states that have edges (or are the end), jumps already followed."""

    def __init__(self, network: Network, meter: Meter):
        self._network = network
        self._meter = meter
        self._closures: dict[int, frozenset[int]] = {}
        self._numbers: dict[frozenset[int], int] = {}
        self._subsets: list[frozenset[int]] = []
        self._after: dict[tuple[int, ...], int] = {}

    def run(self) -> Machine:
        network = self._network
        self._number(self._closure(network.start))
        edges: list[Edges] = []
        while len(edges) < len(self._subsets):
            subset = self._subsets[len(edges)]
            targets: dict[int, list[int]] = defaultdict(list)
            for state in subset:
                for mask, target in network.edges[state]:
                    targets[mask].append(target)
            merged: dict[int, int] = defaultdict(int)
            for mask, reached in _disjoint(targets):
                merged[self._follow(reached)] |= mask
            if network.marked and (marked := self._marked(subset)):
                merged[self._number(marked)] |= 1 << MARK
            edges.append([(mask, target) for target, mask in merged.items()])
        accepting = [network.end in subset for subset in self._subsets]
        return Machine(edges, accepting, tuple(network.specials))

    def _follow(self, targets: tuple[int, ...]) -> int:
        if targets not in self._after:
            self._after[targets] = self._number(frozenset().union(*map(self._closure, targets)))
        return self._after[targets]

    def _number(self, subset: frozenset[int]) -> int:
        if self._network.hole_place:
            subset = self._least_counts(subset)
        if subset not in self._numbers:
            self._numbers[subset] = len(self._subsets)
            self._subsets.append(subset)
            self._meter.check_subset(len(self._subsets), len(subset))
        return self._numbers[subset]

    def _closure(self, state: int) -> frozenset[int]:
        """The states with edges (or the end) that jumps lead to."""
        if state not in self._closures:
            network, seen, todo = self._network, {state}, [state]
            while todo:
                fresh = [target for target in network.jumps[todo.pop()] if target not in seen]
                seen.update(fresh)
                todo.extend(fresh)
            self._closures[state] = frozenset(s for s in seen if network.edges[s] or s == network.end)
            self._meter.check_time()
        return self._closures[state]

    def _least_counts(self, subset: frozenset[int]) -> frozenset[int]:
        """The subset less the hole states that another of lower count makes redundant."""
        places, best, kept = self._network.hole_place, {}, []
        for state in subset:
            if state not in places:
                kept.append(state)
                continue
            place, count = places[state]
            if place not in best or count < best[place][0]:
                best[place] = (count, state)
        return frozenset(kept).union(state for _, state in best.values())

    def _marked(self, subset: frozenset[int]) -> frozenset[int]:
        """The subset after a token begins: hole states count one more, those with none left are dropped."""
        return frozenset(self._network.marked.get(state, state) for state in subset) - {DROPPED}


def _disjoint(targets: dict[int, list[int]]) -> list[tuple[int, tuple[int, ...]]]:
    """(mask, all targets of its symbols) with disjoint masks, from masks that may overlap."""
    union = 0
    for mask in targets:
        if union & mask:
            break
        union |= mask
    else:
        return [(mask, tuple(sorted(set(reached)))) for mask, reached in targets.items()]
    blocks: list[tuple[int, set[int]]] = []
    for mask, reached in targets.items():
        left, split = mask, []
        for old, old_reached in blocks:
            common = old & left
            if not common:
                split.append((old, old_reached))
                continue
            split.append((common, old_reached.union(reached)))
            left ^= common
            if old != common:
                split.append((old ^ common, old_reached))
        if left:
            split.append((left, set(reached)))
        blocks = split
    return [(mask, tuple(sorted(reached))) for mask, reached in blocks]


def distances(machine: Machine) -> list[int]:
    """Per state, the fewest symbols to acceptance; -1 where there is no way."""
    before = _predecessors(machine)
    distance = [0 if accepts else -1 for accepts in machine.accepting]
    layer = [state for state, accepts in enumerate(machine.accepting) if accepts]
    while layer:
        layer = list({source for state in layer for source in before[state] if distance[source] < 0})
        for source in layer:
            distance[source] = 1 + min(distance[target] for _, target in machine.edges[source] if distance[target] >= 0)
    return distance


def minimize(machine: Machine, meter: Meter) -> Machine:
    """The smallest machine of the same language, states numbered from the start outwards.

    Moore's refinement, recomputing only states before a moved one and moving the smaller parts (as Hopcroft does).
    It starts from the distances to acceptance, which equal states share: long literals are told apart at once.
    """
    distance = distances(machine)
    blocks = list(distance)
    numbers = {value: number for number, value in enumerate(dict.fromkeys(blocks))}
    blocks = [numbers[value] for value in blocks]
    members: list[set[int]] = [set() for _ in numbers]
    for state, block in enumerate(blocks):
        members[block].add(state)
    before = _predecessors(machine)
    changed = {state for state, value in enumerate(distance) if value >= 0}
    while changed:
        meter.check_time()
        moved = _refine(machine, blocks, members, changed, distance)
        changed = {source for state in moved for source in before[state] if distance[source] >= 0}
    return _quotient(machine, blocks, distance)


def _refine(
    machine: Machine, blocks: list[int], members: list[set[int]], changed: set[int], distance: list[int]
) -> list[int]:
    """Splits blocks, in place, where their changed states differ; returns the states that got a new block."""
    parts: dict[int, dict[frozenset, list[int]]] = defaultdict(lambda: defaultdict(list))
    for state in changed:
        parts[blocks[state]][_signature(machine, blocks, distance, state)].append(state)
    leaving: list[list[int]] = []
    for block, by_signature in parts.items():
        inside = members[block]
        if sum(map(len, by_signature.values())) < len(inside):
            # The unchanged states of a block still agree, so one of them speaks for all.
            spokesman = next(state for state in inside if state not in changed)
            by_signature.pop(_signature(machine, blocks, distance, spokesman), None)
            groups = list(by_signature.values())
            groups.append(list(inside.difference(*groups)) if groups else [])
        else:
            groups = list(by_signature.values())
        groups.sort(key=len)
        leaving.extend(groups[:-1])
        inside.difference_update(*groups[:-1])
    for group in leaving:
        members.append(set(group))
        for state in group:
            blocks[state] = len(members) - 1
    return [state for group in leaving for state in group]


def _signature(machine: Machine, blocks: list[int], distance: list[int], state: int) -> frozenset[tuple[int, int]]:
    merged: dict[int, int] = {}
    for mask, target in machine.edges[state]:
        if distance[target] >= 0:
            merged[blocks[target]] = merged.get(blocks[target], 0) | mask
    return frozenset(merged.items())


def _quotient(machine: Machine, blocks: list[int], distance: list[int]) -> Machine:
    """One state per block, reached ones only; dead states leave."""
    numbers, order = {blocks[0]: 0}, [0]
    edges: list[Edges] = []
    while len(edges) < len(order):
        merged: dict[int, int] = {}
        for mask, target in machine.edges[order[len(edges)]]:
            if distance[target] < 0:
                continue
            if blocks[target] not in numbers:
                numbers[blocks[target]] = len(order)
                order.append(target)
            number = numbers[blocks[target]]
            merged[number] = merged.get(number, 0) | mask
        edges.append([(mask, target) for target, mask in merged.items()])
    return Machine(edges, [machine.accepting[state] for state in order], machine.specials)


def _predecessors(machine: Machine) -> list[list[int]]:
    before: list[list[int]] = [[] for _ in machine.edges]
    for source, edges in enumerate(machine.edges):
        for _, target in edges:
            before[target].append(source)
    return before


def product(first: Machine, second: Machine, negate: bool, meter: Meter) -> Machine:
    """The machine of texts in `first` that are in `second` (or, negated, are not); not minimal."""
    numbers: dict[tuple[int, int], int] = {(0, 0): 0}
    order = [(0, 0)]
    edges: list[Edges] = []
    while len(edges) < len(order):
        one, two = order[len(edges)]
        merged: dict[int, int] = {}
        for mask, pair in _joint_edges(first.edges[one], second.edges[two] if two >= 0 else [], negate):
            if pair not in numbers:
                numbers[pair] = len(order)
                order.append(pair)
                meter.check_subset(len(order), 1)
            merged[numbers[pair]] = merged.get(numbers[pair], 0) | mask
        edges.append([(mask, target) for target, mask in merged.items()])
    accepting = [first.accepting[one] and (two >= 0 and second.accepting[two]) != negate for one, two in order]
    return Machine(edges, accepting)


def _joint_edges(first: Edges, second: Edges, negate: bool) -> list[tuple[int, tuple[int, int]]]:
    """(mask, pair of targets); under negation a text that `second` refuses goes on with -1 as its second state."""
    found = [(mask & other, (one, two)) for mask, one in first for other, two in second if mask & other]
    if negate:
        covered = 0
        for mask, _ in second:
            covered |= mask
        found.extend((mask & ~covered, (one, -1)) for mask, one in first if mask & ~covered)
    return found
