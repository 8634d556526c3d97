"""Pages counted by their holders. No torch."""

from collections.abc import Iterable


class PageGroup:
    """The pages of all layers of one kind. A page is free when nothing holds it.

    Holders are the tables of running requests and remembered prefixes.
    """

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
