"""Rules that end a canvas before its step limit: stop(history, prediction) -> done?

`history` holds the best canvases of this canvas's earlier denoising steps, oldest first. The answer is a bool, or a
tensor of one, which an engine reads together with those of all its requests: one wait for the device per step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from redraft.diffusion.predict import Prediction
from redraft.shapes import Bool, Float, Int, Tensor

History = Sequence[Int[Tensor, "C"]]


@dataclass(frozen=True)
class StableAndConfident:
    """Done when the best canvas has not changed for `stability` steps and the mean entropy is below `confidence`.

    Without a constraint every position counts. Under one (`stop_ids` given) only free positions before the best
    canvas's first stop token count, and with none of those the canvas is done at once.
    """

    stability: int
    confidence: float  # nats
    stop_ids: tuple[int, ...] | None = None

    def __call__(self, history: History, prediction: Prediction) -> Bool[Tensor, ""]:
        is_done = self.mean_entropy(prediction) < self.confidence
        if len(history) < self.stability:
            is_done = torch.zeros_like(is_done)
        else:
            for earlier in history[-self.stability :]:
                is_done = is_done & (earlier == prediction.best).all()
        counted = self.counted(prediction)
        return is_done if counted is None else is_done | ~counted.any()

    def counted(self, prediction: Prediction) -> Bool[Tensor, "C"] | None:
        """Positions that count; None: all of them."""
        if self.stop_ids is None:
            return None
        stop_ids = torch.tensor(self.stop_ids, dtype=torch.long, device=prediction.best.device)
        is_stop = torch.isin(prediction.best, stop_ids)
        return prediction.free & (is_stop.cumsum(dim=0) == 0)

    def mean_entropy(self, prediction: Prediction) -> Float[Tensor, ""]:
        """Mean over the positions that count, nats; 0 where none does."""
        counted = self.counted(prediction)
        if counted is None:
            return prediction.entropy.mean()
        return prediction.entropy.masked_fill(~counted, 0.0).sum() / counted.sum().clamp(min=1)
