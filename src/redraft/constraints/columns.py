"""What every token does in every state of a byte automaton: one column (partial map of states) per distinct effect.

Tokens are walked along the vocabulary's trie, depth by depth, for all states at once. Prefixes of equal effect are one
column from there on, so the work grows with the number of distinct effects, not with tokens x states.
"""

import numpy as np
from numpy.typing import NDArray

from redraft.constraints.automaton import DEAD, ByteAutomaton
from redraft.constraints.limits import Meter
from redraft.constraints.vocabulary import Vocabulary

CHUNK_PAIRS = 1 << 21  # pairs worked on at once
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)  # splitmix64, xxhash64


class Columns:
    """A growing list of columns; column 0 is empty, rows (sources[i], targets[i]) of column c lie from pointers[c]."""

    def __init__(self):
        self.pointers = np.zeros(2, dtype=np.int64)
        self.sources = np.zeros(0, dtype=np.int32)
        self.targets = np.zeros(0, dtype=np.int32)
        self._known: dict[tuple[int, int, int], int] = {}

    def rows_of(self, columns: np.ndarray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All rows of the columns, one column after another, and for each row the index into `columns`."""
        starts = self.pointers[columns]
        sizes = self.pointers[columns + 1] - starts
        owner = np.repeat(np.arange(len(columns)), sizes)
        return np.arange(len(owner)) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes), owner

    def add(self, sources: np.ndarray, targets: np.ndarray, bounds: np.ndarray) -> NDArray[np.int64]:
        """The numbers of the columns whose rows lie between consecutive bounds; new ones are kept."""
        sizes = np.diff(bounds)
        keys = zip(*(values.tolist() for values in pair_hashes(sources, targets, bounds)), sizes.tolist(), strict=True)
        numbers, fresh = np.zeros(len(sizes), dtype=np.int64), np.zeros(len(sizes), dtype=bool)
        for index, key in enumerate(keys):
            if key[2]:
                fresh[index] = key not in self._known
                numbers[index] = self._known.setdefault(key, len(self._known) + 1)
        rows = np.repeat(fresh, sizes)
        self.sources = np.concatenate([self.sources, sources[rows].astype(np.int32)])
        self.targets = np.concatenate([self.targets, targets[rows].astype(np.int32)])
        self.pointers = np.concatenate([self.pointers, self.pointers[-1] + np.cumsum(sizes[fresh])])
        return numbers


def pair_hashes(sources: np.ndarray, targets: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two independent uint64 hashes of each set of pairs between consecutive bounds, in any order.

    128 bits together: equal hashes are taken for equal sets.
    """
    keys = sources.astype(np.uint64) << np.uint64(32) | targets.astype(np.uint64)
    first, second = (np.append(np.uint64(0), np.cumsum(_mixed(keys * factor))) for factor in _MULTIPLIERS)
    return np.diff(first[bounds]), np.diff(second[bounds])


def _mixed(keys: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    keys = (keys ^ keys >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ keys >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return keys ^ keys >> np.uint64(31)


def token_columns(automaton: ByteAutomaton, vocabulary: Vocabulary, meter: Meter) -> tuple[Columns, NDArray[np.int64]]:
    """The columns of all byte prefixes in the vocabulary, and the column of each token id (0: alive nowhere)."""
    walk = _Walk(automaton, meter)
    token_column = np.zeros(vocabulary.size, dtype=np.int64)
    nodes = walk.root
    for level in vocabulary.levels:
        parents, classes = nodes[level.parents], walk.byte_class[level.last_bytes]
        alive = (parents > 0) & (classes >= 0)
        nodes = np.zeros(len(parents), dtype=np.int64)
        nodes[alive] = walk.step(parents[alive], classes[alive])
        token_column[level.token_ids] = nodes[level.token_nodes]
    return walk.columns, token_column


class _Walk:
    """Extends columns by bytes, each (column, class of bytes) once."""

    def __init__(self, automaton: ByteAutomaton, meter: Meter):
        self.columns = Columns()
        self.byte_class, self._after = _byte_classes(automaton)
        self._meter = meter
        self._effects = np.full(
            (64, len(self._after)), -1, dtype=np.int64
        )  # [column, byte class] -> column, -1 unknown
        begun = np.flatnonzero(automaton.marked != DEAD)
        self.root = self.columns.add(begun, automaton.marked[begun], np.array([0, len(begun)]))

    def step(self, columns: np.ndarray, classes: np.ndarray) -> NDArray[np.int64]:
        """The columns after one more byte, int64 [n] like the arguments."""
        while len(self._effects) < len(self.columns.pointers):
            self._effects = np.concatenate([self._effects, np.full_like(self._effects, -1)])
        unknown = self._effects[columns, classes] < 0
        keys = np.unique(columns[unknown] * len(self._after) + classes[unknown])
        parents, classes_of_keys = np.divmod(keys, len(self._after))
        sizes = np.cumsum(np.diff(self.columns.pointers)[parents])
        cuts = np.searchsorted(sizes, np.arange(CHUNK_PAIRS, sizes[-1] if len(sizes) else 0, CHUNK_PAIRS))
        for chunk in np.split(np.arange(len(keys)), cuts):
            self._extend(parents[chunk], classes_of_keys[chunk])
        return self._effects[columns, classes]

    def _extend(self, parents: np.ndarray, classes: np.ndarray) -> None:
        rows, owner = self.columns.rows_of(parents)
        targets = self._after[classes[owner], self.columns.targets[rows]]
        alive = targets != DEAD
        bounds = np.searchsorted(owner[alive], np.arange(len(parents) + 1))
        self._effects[parents, classes] = self.columns.add(self.columns.sources[rows[alive]], targets[alive], bounds)
        self._meter.check_pairs(len(self.columns.sources))
        self._meter.check_time()


def _byte_classes(automaton: ByteAutomaton) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The class of each byte (int64 [256], -1 dead everywhere), and the state after each class [classes, S]."""
    after = np.ascontiguousarray(automaton.transitions.T)
    classes: dict[bytes, int] = {}
    byte_class = [classes.setdefault(row.tobytes(), len(classes)) if (row != DEAD).any() else -1 for row in after]
    rows = np.frombuffer(b"".join(classes), dtype=np.int32).reshape(len(classes), automaton.num_states)
    return np.array(byte_class, dtype=np.int64), rows
