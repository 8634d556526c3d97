"""Which requests run together: a limit on their number and on the memory of their caches."""

from collections.abc import Sequence

from redraft.engine.request import Request
from redraft.errors import OutOfMemory


class Scheduler:
    """First come, first served, under `max_batch` requests and `cache_memory` bytes (None: no limit of our own)."""

    def __init__(self, max_batch: int, cache_memory: int | None, bytes_per_token: int):
        self.max_batch = max_batch
        self.cache_memory = cache_memory
        self.bytes_per_token = bytes_per_token

    def check(self, request: Request) -> None:
        """Raise OutOfMemory, with the numbers, where a request would not fit even alone."""
        need = request.capacity * self.bytes_per_token
        if self.cache_memory is not None and need > self.cache_memory:
            raise OutOfMemory(
                f"the request needs {need:,} bytes of KV cache ({request.capacity} tokens of prompt and canvases, "
                f"{self.bytes_per_token:,} bytes each): cache_memory is {self.cache_memory:,}"
            )

    def admits(self, request: Request, running: Sequence[Request]) -> bool:
        """Whether `request` may join `running` now."""
        if len(running) >= self.max_batch:
            return False
        taken = sum(other.capacity for other in running) + request.capacity
        return self.cache_memory is None or taken * self.bytes_per_token <= self.cache_memory
