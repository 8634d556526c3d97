"""Which requests run: how many at a time, with how much memory, and how many rows in one engine step."""

from collections.abc import Sequence

from redraft.cache.pool import PagedView, PagePool
from redraft.engine.request import Request

MAX_ROWS = 4096  # of one engine step, unless a single request wants more


class Scheduler:
    """First come, first served, under `max_batch` requests and the pages of the pool."""

    def __init__(self, max_batch: int, pool: PagePool):
        self.max_batch = max_batch
        self.pool = pool

    def check(self, request: Request) -> None:
        """Raise OutOfMemory, with the numbers, where a request would not fit even alone."""
        self.pool.check(request.capacity)

    def admit(self, request: Request, num_running: int) -> PagedView | None:
        """The cache of a request that may run now, prefixes of its prompt that are remembered in it; None: it waits."""
        if num_running >= self.max_batch:
            return None
        return self.pool.admit(request.prompt_ids, request.capacity, request.num_reusable)

    def pick(self, running: Sequence[Request]) -> list[Request]:
        """The requests of the next engine step, longest unserved first: as many as MAX_ROWS rows allow, at least one.

        The order within a batch means nothing to a result.
        """
        picked, num_rows = [], 0
        for request in sorted(running, key=lambda request: request.last_step):
            num_rows += request.num_rows
            if picked and num_rows > MAX_ROWS:
                break
            picked.append(request)
        return picked
