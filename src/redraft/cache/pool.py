"""The tensors behind the pages, and the view of them that attention reads."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from redraft.cache.pages import PageManager, PageTable
from redraft.cache.view import KeysValues
from redraft.config import ModelConfig
from redraft.errors import OutOfMemory
from redraft.shapes import Float, Int, Tensor

PAGE_SIZE = 64  # tokens
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PoolSize:
    """Pages of each kind of layer."""

    full: int
    sliding: int

    @classmethod
    def within(
        cls, config: ModelConfig, num_bytes: int, itemsize: int, max_context: int, max_batch: int, max_rows: int
    ) -> "PoolSize":
        """As many pages as `num_bytes` hold, but no more than twice `max_batch` requests of `max_context` can use.

        The other half is for prefixes that are remembered. A request uses as many sliding pages as full ones until its
        window is full, so there are equally many of both up to that point. Raises OutOfMemory where not even one page
        of each fits.
        """
        bytes_full, bytes_sliding = (_page_bytes(config, kind) * itemsize for kind in (False, True))
        most = 2 * max_batch * -(-max_context // PAGE_SIZE)
        window = -(-(config.sliding_window - 1 + max_rows) // PAGE_SIZE) + 1
        most_sliding = min(most, 2 * max_batch * window)
        both = num_bytes // (bytes_full + bytes_sliding)
        if both <= most_sliding or bytes_full == 0:
            full = sliding = min(both, most_sliding)
        else:
            sliding = most_sliding
            full = min(most, (num_bytes - sliding * bytes_sliding) // bytes_full)
        if full < 1:
            raise OutOfMemory(
                f"the KV cache may take {num_bytes:,} bytes: want at least {bytes_full + bytes_sliding:,}, "
                f"one page of {PAGE_SIZE} tokens in every layer"
            )
        return cls(full=full, sliding=sliding)


class PagePool:
    """Keys and values of all requests: one tensor [2, slots, G, H] per layer, a slot per token, pages in order."""

    def __init__(self, config: ModelConfig, manager: PageManager, device: torch.device, dtype: torch.dtype):
        self.manager = manager
        self.device = device
        self.window = config.sliding_window
        self.is_sliding = [layer.is_sliding for layer in config.layers]
        num_slots = {False: len(manager.full) * manager.page_size, True: len(manager.sliding) * manager.page_size}
        shapes = [(2, num_slots[layer.is_sliding], layer.num_kv_heads, layer.head_dim) for layer in config.layers]
        self.buffers = [torch.empty(shape, device=device, dtype=dtype) for shape in shapes]

    def check(self, capacity: int) -> None:
        """Raises OutOfMemory, with the numbers, where a request of `capacity` tokens would not fit even alone."""
        if self.manager.fits(capacity):
            return
        need = self._num_bytes(*self.manager.needs(capacity))
        held = self._num_bytes(len(self.manager.full), len(self.manager.sliding))
        raise OutOfMemory(
            f"the request needs {need:,} bytes of KV cache ({capacity} tokens of prompt and canvases, "
            f"{self.manager.page_size} a page): the cache has {held:,}, see cache_memory"
        )

    def admit(self, prompt_ids: tuple[int, ...], capacity: int, reusable: int) -> "PagedView | None":
        """A view that holds what of the prompt is remembered, with room for `capacity` tokens; None: not now."""
        table = self.manager.admit(prompt_ids, capacity, reusable)
        return None if table is None else PagedView(self, table)

    def _num_bytes(self, num_full: int, num_sliding: int) -> int:
        sizes = [2 * buffer[0, : self.manager.page_size].nbytes for buffer in self.buffers]
        pages = [num_sliding if is_sliding else num_full for is_sliding in self.is_sliding]
        return sum(size * number for size, number in zip(sizes, pages, strict=True))


class PagedView:
    """The CacheView of one request (batch 1) in a pool. Rows are written in place; pages in a row are read in place."""

    def __init__(self, pool: PagePool, table: PageTable):
        self.length = table.num_reused
        self._pool, self._table = pool, table
        self._covered = 0
        self._places: dict[tuple[bool, int, int], slice | Int[Tensor, n]] = {}

    def put(
        self, layer: int, keys: Float[Tensor, "1 L G H"], values: Float[Tensor, "1 L G H"], offset: int = 0
    ) -> KeysValues:
        """See CacheView."""
        start = self.length + offset
        stop = start + keys.shape[1]
        if stop > self._covered:
            self._pool.manager.cover(self._table, stop)
            self._covered = stop
        is_sliding, buffer = self._pool.is_sliding[layer], self._pool.buffers[layer]
        own = self._place(is_sliding, start, stop)
        buffer[0, own], buffer[1, own] = keys[0], values[0]
        seen = self._place(is_sliding, max(0, start - self._pool.window + 1) if is_sliding else 0, stop)
        return buffer[0, seen][None], buffer[1, seen][None]

    def advance(self, num_tokens: int) -> None:
        """See CacheView. Pages that the window has left are given back."""
        self.length += num_tokens
        self._pool.manager.trim(self._table, self.length)
        self._places.clear()

    def publish(self, chunk_ids: Sequence[int]) -> None:
        """Let other requests use the chunk of prompt that ends here, encoded whole by a prefill."""
        self._pool.manager.publish(self._table, tuple(chunk_ids), self.length)

    def close(self) -> None:
        """Give all pages back."""
        self._pool.manager.close(self._table)

    def _place(self, is_sliding: bool, start: int, stop: int) -> slice | Int[Tensor, "n"]:
        """The slots of positions start..stop-1 in the layers of one kind."""
        kind = (is_sliding, start, stop)
        if kind not in self._places:
            pages = self._table.sliding if is_sliding else self._table.full
            self._places[kind] = _slots(pages, self._pool.manager.page_size, start, stop, self._pool.device)
        return self._places[kind]


def _slots(
    pages: Sequence[int | None], page_size: int, start: int, stop: int, device: torch.device
) -> slice | Int[Tensor, "n"]:
    """Slots of positions start..stop-1: a slice where their pages lie in a row, else every slot's number."""
    first = start // page_size
    span = pages[first : -(-stop // page_size)]
    used = [page for page in span if page is not None]
    assert used and len(used) == len(span), "a row reads only pages that are there"
    lead = start - first * page_size
    if all(page == used[0] + i for i, page in enumerate(used)):
        slot = used[0] * page_size + lead
        return slice(slot, slot + stop - start)
    slots = torch.tensor(used)[:, None] * page_size + torch.arange(page_size)
    return slots.flatten()[lead : lead + stop - start].to(device)


def default_memory(device: torch.device) -> int:
    """Bytes for the KV cache where the caller names none: half of the free memory of a GPU, half of a CPU's machine.

    On a CPU a page takes memory when it is first written, so this bounds and does not take.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _page_bytes(config: ModelConfig, is_sliding: bool) -> int:
    """Numbers that a page holds in all layers of one kind."""
    return sum(
        2 * layer.num_kv_heads * layer.head_dim * PAGE_SIZE for layer in config.layers if layer.is_sliding == is_sliding
    )
