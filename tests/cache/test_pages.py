"""Page bookkeeping by its invariants: none shared by accident, none lost, none freed too early."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.cache.groups import PageGroup
from redraft.cache.pages import PageManager, PageTable

CHUNK, PAGE, WINDOW, ROWS = 8, 4, 10, 8


def manager(num_full: int = 40, num_sliding: int = 30) -> PageManager:
    return PageManager(
        num_full=num_full, num_sliding=num_sliding, page_size=PAGE, window=WINDOW, chunk=CHUNK, max_rows=ROWS
    )


def prompt(length: int, kind: int = 0) -> tuple[int, ...]:
    return tuple(100 * kind + i for i in range(length))


def run(pages: PageManager, table: PageTable, prompt_ids: tuple[int, ...], stop: int) -> int:
    """What an engine does with a table: prefill chunk by chunk, then rows up to `stop`; the length held."""
    length = table.num_reused
    while length < stop:
        end = min(stop, length - length % CHUNK + CHUNK)
        pages.cover(table, end)
        length = end
        pages.trim(table, length)
        if length % CHUNK == 0 and length <= len(prompt_ids):
            pages.publish(table, prompt_ids[length - CHUNK : length], length)
    return length


def test_pages_are_taken_in_a_row_where_there_are_any():
    group = PageGroup(10)
    first, second = group.take(3), group.take(2)
    assert (first, second) == ([0, 1, 2], [3, 4])
    for page in first:
        group.drop(page)
    assert group.take(4) == [5, 6, 7, 8]
    assert group.take(4) == [0, 1, 2, 9]
    assert group.num_free == 0


def test_a_page_is_free_when_its_last_holder_drops_it():
    group = PageGroup(1)
    (page,) = group.take(1)
    group.hold([page])
    group.drop(page)
    assert group.num_free == 0
    group.drop(page)
    assert group.num_free == 1


def test_a_request_gives_everything_back():
    pages = manager()
    table = pages.admit(prompt(20), 36, reusable=20)
    run(pages, table, (), 36)
    pages.close(table)
    pages.close(table)
    assert (pages.full.num_free, pages.sliding.num_free, pages.index.num_prefixes) == (40, 30, 0)


def test_whole_chunks_of_a_prompt_are_reused():
    pages = manager()
    first = pages.admit(prompt(20), 28, reusable=20)
    run(pages, first, prompt(20), 28)
    again = pages.admit(prompt(20), 28, reusable=20)
    other = pages.admit(prompt(8) + prompt(12, kind=1), 28, reusable=20)
    assert (first.num_reused, again.num_reused, other.num_reused) == (0, 16, 8)
    assert again.full[:4] == first.full[:4]
    assert not set(again.full[4:]) & set(first.full)


def test_reuse_stops_at_what_the_request_may_skip():
    pages = manager()
    run(pages, pages.admit(prompt(16), 24, reusable=16), prompt(16), 24)
    assert [pages.admit(prompt(16), 24, reusable=r).num_reused for r in (0, 7, 15, 16)] == [0, 0, 8, 16]


def test_a_hit_needs_the_last_window_of_sliding_pages_only():
    pages = manager()
    table = pages.admit(prompt(32), 40, reusable=32)
    run(pages, table, prompt(32), 40)
    pages.close(table)
    chain = pages.index.find(prompt(32), CHUNK)
    pages.index._give_up(chain[0], 0)  # positions 0 to 3, which no row after 16 sees
    assert pages.admit(prompt(32), 40, reusable=32).num_reused == 32
    pages.index._give_up(chain[3], 1)  # positions 28 to 31, which every row after 32 sees
    assert pages.admit(prompt(32), 40, reusable=32).num_reused == 24


def test_a_given_up_sliding_page_comes_back_with_the_next_prefill():
    pages = manager()
    table = pages.admit(prompt(16), 24, reusable=16)
    run(pages, table, prompt(16), 24)
    pages.close(table)
    chain = pages.index.find(prompt(16), CHUNK)
    pages.index._give_up(chain[1], 1)
    again = pages.admit(prompt(16), 24, reusable=16)
    assert again.num_reused == 8
    run(pages, again, prompt(16), 24)
    assert pages.admit(prompt(16), 24, reusable=16).num_reused == 16


def test_sliding_pages_follow_the_window():
    pages = manager()
    table = pages.admit(prompt(8), 80, reusable=8)
    for stop in range(8, 81, 8):
        run(pages, table, (), stop) if stop == 8 else pages.cover(table, stop)
        pages.trim(table, stop)
        held = [page for page in table.sliding if page is not None]
        assert len(held) <= table.sliding_quota == 6
        assert table.num_dropped == max(0, stop - WINDOW + 1) // PAGE
        assert len(held) == len(set(held)) == 30 - pages.sliding.num_free


def test_the_oldest_prefix_is_forgotten_first():
    pages = manager(num_full=12, num_sliding=30)
    for kind in range(2):
        table = pages.admit(prompt(16, kind), 20, reusable=16)
        run(pages, table, prompt(16, kind), 20)
        pages.close(table)
    assert pages.index.num_prefixes == 4  # 8 of the 12 pages
    pages.close(pages.admit(prompt(16, 0), 20, reusable=16))  # used again
    table = pages.admit(prompt(16, 2), 20, reusable=16)
    assert table is not None
    assert len(pages.index.find(prompt(16, 0), CHUNK)) == 2
    assert len(pages.index.find(prompt(16, 1), CHUNK)) == 1


def test_what_a_running_request_uses_is_not_forgotten():
    pages = manager(num_full=10)
    table = pages.admit(prompt(16), 20, reusable=16)
    run(pages, table, prompt(16), 20)
    assert pages.admit(prompt(16, 1), 24, reusable=16) is None
    pages.close(table)
    assert pages.admit(prompt(16, 1), 24, reusable=16) is not None


def test_requests_wait_while_others_hold_the_windows():
    pages = manager(num_sliding=13)
    tables = [pages.admit(prompt(8, kind), 40, reusable=8) for kind in range(3)]
    assert [table is None for table in tables] == [False, False, True]
    assert pages.needs(40) == (10, 6)
    assert not pages.fits(161)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), num_full=st.integers(8, 40), num_sliding=st.integers(7, 30))
def test_no_page_is_lost_or_shared_by_accident(seed, num_full, num_sliding):
    rng, pages = random.Random(seed), manager(num_full, num_sliding)
    running: list[tuple[PageTable, tuple[int, ...], int, int]] = []
    for _ in range(60):
        if rng.random() < 0.5:
            ids = prompt(rng.choice((8, 16, 16, 24)), 0)[: rng.randint(1, 24)] + prompt(
                rng.randint(1, 9), rng.randint(0, 2)
            )
            capacity = len(ids) + rng.randint(1, 20)
            if not pages.fits(capacity):
                continue
            table = pages.admit(ids, capacity, reusable=len(ids))
            if table is None:
                assert running, "a request that fits is admitted when it is alone"
                continue
            running.append((table, ids, capacity, table.num_reused))
        elif running:
            number = rng.randrange(len(running))
            table, ids, capacity, length = running[number]
            stop = min(capacity, length + ROWS, length - length % CHUNK + CHUNK)
            if rng.random() < 0.2 or stop == length:
                pages.close(running.pop(number)[0])
            else:
                run_one(pages, table, ids, stop)
                running[number] = (table, ids, capacity, stop)
        check(pages, [entry[0] for entry in running])
    for entry in running:
        pages.close(entry[0])
    check(pages, [])
    pages.index.make_room(full=num_full, sliding=num_sliding)
    assert pages.index.num_prefixes == 0
    assert (pages.full.num_free, pages.sliding.num_free) == (num_full, num_sliding)


def run_one(pages: PageManager, table: PageTable, ids: tuple[int, ...], stop: int) -> None:
    pages.cover(table, stop)
    pages.trim(table, stop)
    if stop % CHUNK == 0 and stop <= len(ids):
        pages.publish(table, ids[stop - CHUNK : stop], stop)


def check(pages: PageManager, tables: list[PageTable]) -> None:
    """Every page has as many holders as lists name it; every other page is free."""
    remembered = list(pages.index._walk())
    for group, name in ((pages.full, "full"), (pages.sliding, "sliding")):
        named = Counter(page for owner in (*tables, *remembered) for page in getattr(owner, name) if page is not None)
        assert all(group.num_holders(page) == count for page, count in named.items())
        assert group.num_free == len(group) - len(named)
        own = [page for owner in tables for page in getattr(owner, name) if page is not None]
        shared = {page for page, count in Counter(own).items() if count > 1}
        assert shared <= {page for prefix in remembered for page in getattr(prefix, name)}
    assert all(prefix.num_users >= 0 for prefix in remembered)
    assert sum(prefix.num_users for prefix in (pages.index.root, *remembered)) == len(tables)


@pytest.mark.parametrize(("capacity", "full", "sliding"), [(1, 1, 1), (8, 2, 2), (21, 6, 6), (200, 50, 6)])
def test_needs_of_a_request(capacity, full, sliding):
    assert manager().needs(capacity) == (full, sliding)
