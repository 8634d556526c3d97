"""Which request has which pages of the KV cache, and when it may run. Bookkeeping only: no torch.

Full and sliding layers have pages of their own, because a sliding layer forgets what its window has left.
"""

from dataclasses import dataclass

from redraft.cache.groups import PageGroup
from redraft.cache.prefixes import Prefix, PrefixIndex


@dataclass(eq=False)
class PageTable:
    """The pages of one running request: entry i of each list holds positions i * page_size and on; None: no page.

    All pages of the full layers are taken at once. Those of the sliding layers come and go with the window, never more
    than `sliding_quota` at a time.
    """

    full: list[int]
    sliding: list[int | None]
    sliding_quota: int
    num_reused: int  # tokens found in the index
    prefix: Prefix  # the last whole chunk of the prompt that is in the index
    num_dropped: int  # leading entries of `sliding` that the window has left


class PageManager:
    """Admits requests to the pages there are, shares whole prefill chunks between them, forgets the oldest of those.

    chunk: tokens of a prefill chunk, the only place a prefix may end; a multiple of `page_size`. window: of the sliding
    layers, tokens. max_rows: the most tokens one pass puts after what a request holds.
    """

    def __init__(self, *, num_full: int, num_sliding: int, page_size: int, window: int, chunk: int, max_rows: int):
        assert chunk % page_size == 0, "a prefix ends at the end of a page"
        self.page_size, self.window, self.chunk, self.max_rows = page_size, window, chunk, max_rows
        self.full = PageGroup(num_full)
        self.sliding = PageGroup(num_sliding)
        self.index = PrefixIndex(self.full, self.sliding)
        self._open: list[PageTable] = []
        self.num_reused = 0  # tokens found in the index, over all requests

    def needs(self, capacity: int) -> tuple[int, int]:
        """Pages of full and of sliding attention set aside for a request of `capacity` tokens."""
        window = self._num_pages(self.window - 1 + self.max_rows) + 1  # what one pass can touch, however it lies
        return self._num_pages(capacity), min(self._num_pages(capacity), window)

    def fits(self, capacity: int) -> bool:
        """Whether such a request could be admitted if it were alone."""
        full, sliding = self.needs(capacity)
        return full <= len(self.full) and sliding <= len(self.sliding)

    def admit(self, prompt_ids: tuple[int, ...], capacity: int, reusable: int) -> PageTable | None:
        """A table with all the request may need set aside; None while others hold too much.

        At most `reusable` tokens of the prompt may come from remembered prefixes.
        """
        need, quota = self.needs(capacity)
        if quota + sum(table.sliding_quota for table in self._open) > len(self.sliding):
            return None
        chain = self._longest_hit(prompt_ids, reusable)
        last = chain[-1] if chain else self.index.root
        shared = [page for prefix in chain for page in prefix.full]
        self.index.attach(last)
        if need - len(shared) > self.full.num_free + self.index.num_evictable():
            self.index.detach(last)
            return None
        self.index.make_room(full=need - len(shared))
        self.full.hold(shared)
        seen = self._visible_sliding(chain)
        self.sliding.hold(page for page in seen if page is not None)
        table = PageTable(
            full=shared + self.full.take(need - len(shared)),
            sliding=seen,
            sliding_quota=quota,
            num_reused=len(chain) * self.chunk,
            prefix=last,
            num_dropped=self._first_visible(chain),
        )
        self._open.append(table)
        self.num_reused += table.num_reused
        return table

    def cover(self, table: PageTable, stop: int) -> None:
        """Make sure that all positions below `stop` that are yet to be written have a page."""
        missing = self._num_pages(stop) - len(table.sliding)
        if missing > 0:
            self.index.make_room(sliding=missing)
            table.sliding += self.sliding.take(missing)
            assert len(table.sliding) - table.num_dropped <= table.sliding_quota, "more than was set aside"

    def trim(self, table: PageTable, length: int) -> None:
        """Let go of the sliding pages that no row after the first `length` tokens can see."""
        for number in range(table.num_dropped, max(0, length - self.window + 1) // self.page_size):
            page = table.sliding[number]
            assert page is not None
            self.sliding.drop(page)
            table.sliding[number] = None
            table.num_dropped = number + 1

    def publish(self, table: PageTable, chunk_ids: tuple[int, ...], length: int) -> None:
        """Remember the chunk that ends at position `length`, just encoded whole by a prefill, for other requests."""
        assert len(chunk_ids) == self.chunk and length % self.chunk == 0
        pages = slice((length - self.chunk) // self.page_size, length // self.page_size)
        table.prefix = self.index.remember(table.prefix, chunk_ids, table.full[pages], table.sliding[pages])

    def close(self, table: PageTable) -> None:
        """Give everything back; harmless when repeated."""
        if table not in self._open:
            return
        self._open.remove(table)
        for page in table.full:
            self.full.drop(page)
        for page in table.sliding[table.num_dropped :]:
            assert page is not None
            self.sliding.drop(page)
        self.index.detach(table.prefix)

    def _longest_hit(self, prompt_ids: tuple[int, ...], reusable: int) -> list[Prefix]:
        """The longest chain of remembered chunks whose last window of sliding pages is still there."""
        chain = self.index.find(prompt_ids[: reusable - reusable % self.chunk], self.chunk)
        while chain and None in self._visible_sliding(chain)[self._first_visible(chain) :]:
            chain.pop()
        return chain

    def _visible_sliding(self, chain: list[Prefix]) -> list[int | None]:
        """Sliding pages of a chain as a table has them: None for those no row after the chain can see."""
        pages = [page for prefix in chain for page in prefix.sliding]
        first = self._first_visible(chain)
        return [None] * first + pages[first:]

    def _first_visible(self, chain: list[Prefix]) -> int:
        return max(0, len(chain) * self.chunk - self.window + 1) // self.page_size

    def _num_pages(self, num_tokens: int) -> int:
        return -(-num_tokens // self.page_size)
