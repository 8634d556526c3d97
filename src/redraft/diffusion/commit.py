"""What a finished canvas yields: commit(prediction) -> ids. The one place that decides it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from redraft.diffusion.predict import Prediction


@dataclass(frozen=True)
class CommitBest:
    """The best canvas of the last denoising step, cut after its first stop token; never a draw, never noise."""

    stop_ids: tuple[int, ...]

    def __call__(self, prediction: Prediction) -> list[int]:
        return cut_after_stop(prediction.best.tolist(), self.stop_ids)


def cut_after_stop(token_ids: Sequence[int], stop_ids: Collection[int]) -> list[int]:
    """The ids up to and including the first stop id."""
    for index, token in enumerate(token_ids):
        if token in stop_ids:
            return list(token_ids[: index + 1])
    return list(token_ids)
