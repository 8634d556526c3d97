"""What attention reads: one request's (or one even batch's) keys and values, behind one small protocol."""

from copy import copy
from typing import Protocol, runtime_checkable

import torch

from redraft.config import ModelConfig
from redraft.errors import InvalidRequest
from redraft.shapes import Float, Tensor

KeysValues = tuple[Float[Tensor, "B S G H"], Float[Tensor, "B S G H"]]


@runtime_checkable
class CacheView(Protocol):
    """The cached tokens of the requests of one segment. All of them hold `length` tokens."""

    @property
    def length(self) -> int:
        """Tokens held."""
        ...

    def put(
        self, layer: int, keys: Float[Tensor, "B L G H"], values: Float[Tensor, "B L G H"], offset: int = 0
    ) -> KeysValues:
        """Everything these rows may look at, their own rows last; writes them `offset` slots after the held tokens.

        A full layer returns all tokens, a sliding layer at most the `window - 1` before the rows. The rows are
        scratch, overwritten by the next put to the same slots, until `advance` makes them part of the cache.
        """
        ...

    def advance(self, num_tokens: int) -> None:
        """Count the first `num_tokens` rows put after the held tokens as held."""
        ...


class ContiguousCache:
    """One buffer per layer, written in place and read as a view: inference only, no gradient passes through it.

    capacity: tokens per request; None grows as needed (by doubling, which copies).
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int = 1,
        capacity: int | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        if batch_size < 1:
            raise InvalidRequest(f"batch_size={batch_size}: want an integer >= 1")
        if capacity is not None and capacity < 1:
            raise InvalidRequest(f"capacity={capacity}: want an integer >= 1, or None")
        self.batch_size = batch_size
        self.length = 0
        self._window = config.sliding_window
        self._is_sliding = [layer.is_sliding for layer in config.layers]
        self._limit = capacity
        slots = 256 if capacity is None else capacity
        shapes = [(2, batch_size, slots, layer.num_kv_heads, layer.head_dim) for layer in config.layers]
        self._buffers = [torch.empty(shape, device=device, dtype=dtype) for shape in shapes]

    def put(
        self, layer: int, keys: Float[Tensor, "B L G H"], values: Float[Tensor, "B L G H"], offset: int = 0
    ) -> KeysValues:
        """See CacheView. Writes in place; the result is a view that the next put may change."""
        assert not keys.requires_grad, "this cache is written in place: train with AutogradCache"
        start = self.length + offset
        stop = start + keys.shape[1]
        if stop > self._buffers[layer].shape[2]:
            self._grow(layer, stop)
        buffer = self._buffers[layer]
        buffer[0, :, start:stop] = keys
        buffer[1, :, start:stop] = values
        first = max(0, start - self._window + 1) if self._is_sliding[layer] else 0
        return buffer[0, :, first:stop], buffer[1, :, first:stop]

    def advance(self, num_tokens: int) -> None:
        """Count the first `num_tokens` rows put after the held tokens as held."""
        self.length += num_tokens

    def _grow(self, layer: int, wanted: int) -> None:
        if self._limit is not None:
            raise InvalidRequest(f"the cache would hold {wanted} tokens: want at most its capacity, {self._limit}")
        old = self._buffers[layer]
        shape = list(old.shape)
        shape[2] = max(wanted, 2 * shape[2])
        new = old.new_empty(shape)
        new[:, :, : old.shape[2]] = old
        self._buffers[layer] = new


class AutogradCache:
    """A view for training: rows are joined by concatenation, so gradients pass from a canvas to the tokens it reads."""

    def __init__(self, config: ModelConfig):
        self.length = 0
        self._window = config.sliding_window
        self._is_sliding = [layer.is_sliding for layer in config.layers]
        self._rows: list[KeysValues | None] = [None] * config.num_layers

    def put(
        self, layer: int, keys: Float[Tensor, "B L G H"], values: Float[Tensor, "B L G H"], offset: int = 0
    ) -> KeysValues:
        """See CacheView. Keeps the joined tensors, and their graph, until the next put."""
        start = self.length + offset
        held = self._rows[layer]
        if held is not None and start > 0:
            keys = torch.cat((held[0][:, :start], keys), dim=1)
            values = torch.cat((held[1][:, :start], values), dim=1)
        self._rows[layer] = (keys, values)
        first = max(0, start - self._window + 1) if self._is_sliding[layer] else 0
        return keys[:, first:], values[:, first:]

    def advance(self, num_tokens: int) -> None:
        """Count the first `num_tokens` rows put after the held tokens as held."""
        self.length += num_tokens

    def holding(self, num_tokens: int) -> "AutogradCache":
        """A view that counts the first `num_tokens` rows put as held; they stay part of the graph.

        This cache stays as it is, so that a layer whose activations were not kept can put the same rows again.
        """
        view = copy(self)
        view._rows = list(self._rows)
        view.length = num_tokens
        return view

    def first(self, num_requests: int) -> "AutogradCache":
        """A view of the held tokens of the first requests, cut off from their graph."""
        part = copy(self)
        part._rows = [
            None if rows is None else (rows[0][:num_requests].detach(), rows[1][:num_requests].detach())
            for rows in self._rows
        ]
        return part
