"""Network -> deterministic machine, by subset construction."""

from collections import defaultdict

from redraft.constraints.limits import Meter
from redraft.constraints.machine import MARK, Edges, Machine
from redraft.constraints.network import DROPPED, Network


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
        network = self._network
        if state not in self._closures and not network.jumps[state]:
            self._closures[state] = frozenset((state,))
        elif state not in self._closures:
            seen, todo = {state}, [state]
            while todo:
                fresh = [target for target in network.jumps[todo.pop()] if target not in seen]
                seen.update(fresh)
                todo.extend(fresh)
            self._closures[state] = frozenset(s for s in seen if network.edges[s] or s == network.end)
            self._meter.check_members(len(self._closures[state]))
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
        return [
            (mask, tuple(sorted(set(reached)) if len(reached) > 1 else reached)) for mask, reached in targets.items()
        ]
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
