"""How large a constraint may grow while it is compiled, and the meter that refuses one that grows larger."""

import time
from dataclasses import dataclass

from redraft.errors import InvalidRequest

NETWORK_FACTOR = 20  # states before determinisation, per allowed automaton state
RAW_FACTOR = 5  # states before minimisation, per allowed automaton state
WORK_FACTOR = 100  # members of all state subsets together, per allowed automaton state
CHECKS_PER_LOOK = 16  # the clock is looked at every so many checks
PAIRS_FACTOR = 100  # (state, state after) pairs of all token effects, per allowed token edge


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Caps of one compilation; crossing one raises InvalidRequest with both numbers."""

    states: int = 20_000  # of the minimal byte automaton
    edges: int = 200_000  # of the token automaton
    seconds: float = 30.0  # of this thread's processor time, so that a busy machine refuses no more than an idle one


class Meter:
    """Counts what one compilation has used; `check` raises InvalidRequest past a limit. The clock starts here."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self._end = time.thread_time() + limits.seconds
        self._members = 0
        self._num_checks = 0

    def check_time(self) -> None:
        self._num_checks += 1
        if self._num_checks % CHECKS_PER_LOOK == 0 and time.thread_time() > self._end:
            raise InvalidRequest(f"constraint: compiling took more than {self.limits.seconds:g} s, the limit")

    def check_network(self, num_states: int) -> None:
        """Called as the nondeterministic network grows."""
        self._check("network states", num_states, NETWORK_FACTOR * self.limits.states)

    def check_subset(self, num_states: int, num_members: int) -> None:
        """Called once per new deterministic state, with the number of network states it stands for."""
        self._check("automaton states before minimising", num_states, RAW_FACTOR * self.limits.states)
        self.check_members(num_members)

    def check_members(self, num_members: int) -> None:
        """Called once per set of network states that is kept, with their number."""
        self._members += num_members
        self._check("network states followed at once, in all", self._members, WORK_FACTOR * self.limits.states)
        self.check_time()

    def check_states(self, num_states: int) -> None:
        self._check("automaton states", num_states, self.limits.states)

    def check_edges(self, num_edges: int) -> None:
        self._check("token edges", num_edges, self.limits.edges)

    def check_pairs(self, num_pairs: int) -> None:
        """Called as token effects are collected."""
        self._check("pairs of states in token effects", num_pairs, PAIRS_FACTOR * self.limits.edges)

    def _check(self, what: str, seen: int, limit: int) -> None:
        if seen > limit:
            raise InvalidRequest(f"constraint: {seen:,} {what} or more, the limit is {limit:,}; make it smaller")
