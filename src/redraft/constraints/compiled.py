"""Constraint x vocabulary -> what steers a request, and the cache that keeps it for the next one."""

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from redraft.constraints.automaton import compile_tree
from redraft.constraints.limits import Limits, Meter
from redraft.constraints.pins import pinned_automaton
from redraft.constraints.spec import Constraint, Infill, Tokens
from redraft.constraints.tokens import TokenAutomaton, build_token_automaton
from redraft.constraints.tree import FreeTokens, Seq, Special
from redraft.constraints.vocabulary import Vocabulary
from redraft.errors import InvalidRequest

CACHED = 64  # compiled constraints kept


@dataclass(frozen=True, eq=False)
class CompiledConstraint:
    """A constraint's automaton over one vocabulary, and what making it took."""

    constraint: Constraint
    automaton: TokenAutomaton
    seconds: float

    @property
    def stats(self) -> dict[str, int | float]:
        """What a reply says about its constraint."""
        automaton = self.automaton
        return {
            "states": automaton.num_states,
            "classes": automaton.num_classes,
            "edges": automaton.num_edges,
            "compile_seconds": self.seconds,
        }

    def check_budget(self, max_tokens: int) -> None:
        """InvalidRequest where no reply of at most `max_tokens` tokens fulfils the constraint."""
        shortest = int(self.automaton.distance[self.automaton.start])
        if shortest > max_tokens:
            raise InvalidRequest(
                f"max_tokens={max_tokens}: the shortest reply that fulfils the constraint takes {shortest} tokens"
            )


def compile_constraint(
    constraint: Constraint,
    vocabulary: Vocabulary,
    stop_ids: Sequence[int],
    banned: Collection[int] = (),
    thinking_close: int | None = None,
    thinking_open: int | None = None,
) -> CompiledConstraint:
    """The automaton of the constraint's replies over the ids of the vocabulary; Infill is compiled by infill.py.

    `stop_ids`: the first also fills what follows the end. `banned` ids never appear. `thinking_close` is the control
    token between free reasoning and the constraint (None: no reasoning), `thinking_open` the one the reasoning begins
    with (None: the prompt holds it). InvalidRequest for what is not supported, past a limit, or where no reply is left.
    """
    assert not isinstance(constraint, Infill), "an infill depends on its layout"
    started = time.perf_counter()
    meter = Meter(Limits())
    _check_ids(vocabulary, stop_ids, banned)
    if isinstance(constraint, Tokens):
        if thinking_close is not None:
            raise InvalidRequest("Tokens pins positions of the whole reply: it cannot be combined with thinking")
        automaton = pinned_automaton(constraint.positions, vocabulary.size, stop_ids, frozenset(banned), meter)
    else:
        byte_automaton = constraint.automaton  # kept by the constraint, and refused here where it is empty
        if thinking_close is not None:
            opening = () if thinking_open is None else (Special(thinking_open),)
            tree = Seq((*opening, FreeTokens(None), Special(thinking_close), constraint.tree))
            byte_automaton = compile_tree(tree, meter=meter)
        automaton = build_token_automaton(byte_automaton, vocabulary, stop_ids, frozenset(banned), meter)
    return CompiledConstraint(constraint, automaton, time.perf_counter() - started)


def _check_ids(vocabulary: Vocabulary, stop_ids: Sequence[int], banned: Collection[int]) -> None:
    if not stop_ids:
        raise InvalidRequest("a constraint needs a stop id: the checkpoint names none, give stop_token_ids")
    for token in (*stop_ids, *banned):
        if not 0 <= token < vocabulary.size:
            raise InvalidRequest(f"token id {token}: want an id from 0 to {vocabulary.size - 1}")


class CompileCache:
    """Compiled constraints of one vocabulary, the ones used last; safe to share between threads."""

    def __init__(self, vocabulary: Vocabulary, capacity: int = CACHED):
        self.vocabulary = vocabulary
        self._capacity = capacity
        self._lock = threading.Lock()
        self._compiled: OrderedDict[Hashable, CompiledConstraint] = OrderedDict()

    def compile(
        self,
        constraint: Constraint,
        stop_ids: Sequence[int],
        banned: Collection[int] = (),
        thinking_close: int | None = None,
        thinking_open: int | None = None,
    ) -> CompiledConstraint:
        """`compile_constraint`, or what it returned the last time."""
        key = (constraint, tuple(stop_ids), frozenset(banned), thinking_close, thinking_open)
        with self._lock:
            if key in self._compiled:
                self._compiled.move_to_end(key)
                return self._compiled[key]
        compiled = compile_constraint(
            constraint, self.vocabulary, stop_ids, banned, thinking_close=thinking_close, thinking_open=thinking_open
        )
        with self._lock:
            self._compiled[key] = compiled
            while len(self._compiled) > self._capacity:
                self._compiled.popitem(last=False)
        return compiled
