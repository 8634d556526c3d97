"""Which of several equally good tokens a best path takes: the lowest id. NumPy; logits are read through a callable."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redraft.constraints.lattice import Lattice


@dataclass(frozen=True)
class BestTokens:
    """Looks up the classes, among those of an edge or of several, that hold the lowest best id of a position."""

    lattice: Lattice
    best: NDArray[np.float64]  # [positions, classes] the best logit of each class
    best_token: Callable[[int, int], int]  # (position, class) -> the lowest id of the class with its best logit

    def pick(self, position: int, edges: NDArray[np.int64]) -> int:
        """The edge, of equally good ones, with the lowest best id."""
        found = [self._lowest(position, self._best_classes(position, edge))[0] for edge in edges.tolist()]
        return int(edges[np.argmin(found)])

    def classes(self, path: NDArray[np.int64]) -> NDArray[np.int64]:
        """Per position of a path the class of its edge's lowest best id."""
        numbers = np.empty(len(path), np.int64)
        for position, edge in enumerate(path.tolist()):
            tied = self._best_classes(position, edge)
            numbers[position] = tied[0] if len(tied) == 1 else self._lowest(position, tied)[1]
        return numbers

    def _best_classes(self, position: int, edge: int) -> NDArray[np.int64]:
        classes = self.lattice.set(int(self.lattice.edge_set[edge]))
        values = self.best[position].take(classes)
        return classes[values == values.max()]

    def _lowest(self, position: int, classes: NDArray[np.int64]) -> tuple[int, int]:
        """The lowest best id of equally good classes, and its class."""
        ptr = self.lattice.automaton.class_ptr
        first_ids = self.lattice.automaton.class_tokens[ptr[self.lattice.classes[classes]]]
        found = (len(self.lattice.automaton.token_class), -1)
        for k in np.argsort(first_ids).tolist():
            if first_ids[k] >= found[0]:
                break  # no id of this class or a later one can be lower
            found = min(found, (self.best_token(position, int(classes[k])), int(classes[k])))
        return found
