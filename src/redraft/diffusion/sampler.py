"""Rules that accept drawn tokens, and rules that renoise the rest.

accept(prediction) -> which positions keep their draw; renoise(canvas, prediction, accepted, noise) -> the next canvas.
A position with one possible token (not free) is always accepted, costs nothing and is never renoised.
"""

import math
from dataclasses import dataclass

import torch

from redraft.diffusion.predict import Prediction
from redraft.errors import InvalidRequest
from redraft.shapes import Bool, Int, Tensor


@dataclass(frozen=True)
class EntropyBound:
    """Accepts by rising entropy while the entropies before a position sum to at most `bound` nats.

    At least one free position is accepted; equal entropies rank by position. The sum bounds how far drawing the
    accepted tokens independently can be from drawing them jointly (arXiv 2505.24857).
    """

    bound: float

    def __post_init__(self):
        if not self.bound >= 0:
            raise InvalidRequest(f"bound={self.bound!r}: want nats >= 0")

    def __call__(self, prediction: Prediction) -> Bool[Tensor, "C"]:
        ranked, order = prediction.entropy.masked_fill(~prediction.free, 0.0).sort(stable=True)
        sum_before = ranked.cumsum(dim=0) - ranked
        accepted = torch.empty_like(prediction.free)
        accepted[order] = sum_before <= self.bound
        return accepted | ~prediction.free


@dataclass(frozen=True)
class Confidence:
    """Accepts where the best token's probability is at least `threshold`, and the surest free position in any case.

    What is kept is still the draw, not the best token.
    """

    threshold: float

    def __post_init__(self):
        if not 0 < self.threshold <= 1:
            raise InvalidRequest(f"threshold={self.threshold!r}: want a probability > 0")

    def __call__(self, prediction: Prediction) -> Bool[Tensor, "C"]:
        logprob = prediction.best_logprob.masked_fill(~prediction.free, -math.inf)
        accepted = (logprob >= math.log(self.threshold)) | ~prediction.free
        accepted[logprob.argmax()] = True
        return accepted


@dataclass(frozen=True)
class UniformRenoise:
    """Accepted positions take their draw, every other one the noise, whatever it held before."""

    def __call__(
        self,
        canvas: Int[Tensor, "C"],
        prediction: Prediction,
        accepted: Bool[Tensor, "C"],
        noise: Int[Tensor, "C"],
    ) -> Int[Tensor, "C"]:
        return torch.where(accepted | ~prediction.free, prediction.sample, noise)


@dataclass(frozen=True)
class WarmStart:
    """Like UniformRenoise, but outside `noisy` a position that is not accepted returns to `text`, where it started."""

    text: Int[Tensor, "C"]
    noisy: Bool[Tensor, "C"]

    def __call__(
        self,
        canvas: Int[Tensor, "C"],
        prediction: Prediction,
        accepted: Bool[Tensor, "C"],
        noise: Int[Tensor, "C"],
    ) -> Int[Tensor, "C"]:
        start = torch.where(self.noisy, noise, self.text)
        return torch.where(accepted | ~prediction.free, prediction.sample, start)
