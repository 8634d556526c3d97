"""Who holds which pages of the KV cache. Bookkeeping only: no torch.

Full and sliding layers have pages of their own, because a sliding layer forgets what its window has left. A page has as
many holders as use it (the tables of running requests, a remembered prefix) and is free when there are none.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from redraft.cache.prefixes import Prefix, PrefixIndex


class PageGroup:
    """The pages of all layers of one kind, counted by their holders."""

    def __init__(self, num_pages: int):
        self._free = bytearray(b"\x01" * num_pages)  # searched as bytes: a run of free pages is a run of ones
        self._holders = [0] * num_pages
        self.num_free = num_pages

    def __len__(self) -> int:
        return len(self._holders)

    def take(self, count: int) -> list[int]:
        """`count` free pages, each with one holder; pages in a row where there are any, for those are read in place."""
        assert count <= self.num_free, "pages are reserved before they are taken"
        first = self._free.find(b"\x01" * count)
        pages = list(range(first, first + count)) if first >= 0 else self._first_free(count)
        for page in pages:
            self._free[page], self._holders[page] = 0, 1
        self.num_free -= count
        return pages

    def hold(self, pages: Iterable[int]) -> None:
        """One holder more for each."""
        for page in pages:
            assert self._holders[page] > 0, "a free page has nothing to share"
            self._holders[page] += 1

    def drop(self, page: int) -> None:
        """One holder less; without any the page is free."""
        self._holders[page] -= 1
        assert self._holders[page] >= 0, "a page is dropped as often as it is held"
        if not self._holders[page]:
            self._free[page] = 1
            self.num_free += 1

    def num_holders(self, page: int) -> int:
        return self._holders[page]

    def _first_free(self, count: int) -> list[int]:
        pages, page = [], -1
        while len(pages) < count:
            page = self._free.index(1, page + 1)
            pages.append(page)
        return pages


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
