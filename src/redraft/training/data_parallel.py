"""Several processes that share every update of a run: each takes some of its batches, and their gradients are added.

`torchrun` starts them and ends all where one fails. What a run computes does not hang on their number, but for the
order in which gradients are added.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from redraft.errors import InvalidRequest
from redraft.training.config import RunConfig

_PATIENCE = timedelta(days=2)  # the first process may have hours of data to make


@dataclass(frozen=True)
class DataParallel:
    """This process among those that share a run; alone unless told otherwise."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that makes data, writes files and reports."""
        return self.rank == 0

    def check(self, config: RunConfig) -> None:
        """InvalidRequest where a run cannot be shared."""
        if self.world_size == 1:
            return
        if config.accumulate % self.world_size:
            raise InvalidRequest(
                f"accumulate={config.accumulate}: want a multiple of {self.world_size}, the processes that share an "
                "update's batches"
            )
        if config.place.type != "cpu":
            raise InvalidRequest(f"device={config.device!r}: want one process there; {self.world_size} share a CPU run")

    def batches(self, indices: Sequence[int]) -> Sequence[int]:
        """Those of an update's batches that are this process's."""
        return indices[self.rank :: self.world_size]

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Puts the sum over all processes in place of each tensor."""
        if self.world_size == 1:
            return
        joined = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(joined)
        for tensor, part in zip(tensors, joined.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """The same for gradients; a parameter that no batch of this process reached counts as zero."""
        if self.world_size == 1:
            return
        gradients = []
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        self.add(gradients)

    def agree(self, value: bool) -> bool:
        """What the first process says."""
        if self.world_size == 1:
            return value
        said = torch.tensor(value)
        dist.broadcast(said, src=0)
        return bool(said)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process runs this block before all others do."""
        if not self.is_first:
            dist.barrier()
        yield
        if self.is_first and self.world_size > 1:
            dist.barrier()


ALONE = DataParallel()


@contextmanager
def joined() -> Iterator[DataParallel]:
    """This process with those `torchrun` started beside it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield DataParallel(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
