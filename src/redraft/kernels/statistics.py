"""What the sampler needs to know about a row of tempered logits, reduced from V numbers to five."""

from dataclasses import dataclass

import torch

from redraft.shapes import Float, Int, Tensor

# Shifted logits are cut here: exp is exactly 0 well above it (also at a draw temperature of 2), and 0 * floor is 0
# where 0 * -inf would be NaN.
_FLOOR = -1e4


@dataclass(frozen=True)
class Statistics:
    """One value per row; fp32 and int64. A row that holds NaN, +inf or nothing but -inf has a NaN log_normaliser."""

    entropy: Float[Tensor, "R"]  # nats, never negative
    best: Int[Tensor, "R"]  # argmax; ties go to the lowest id
    best_logprob: Float[Tensor, "R"]
    log_normaliser: Float[Tensor, "R"]
    sample: Int[Tensor, "R"] | None  # None where no uniforms were given

    def split(self, sizes: list[int]) -> list["Statistics"]:
        """The statistics of successive stretches of rows; views."""
        samples = [None] * len(sizes) if self.sample is None else self.sample.split(sizes)
        others = (self.entropy, self.best, self.best_logprob, self.log_normaliser)
        return [Statistics(*parts) for parts in zip(*(one.split(sizes) for one in others), samples, strict=True)]


def token_statistics(
    tempered: Float[Tensor, "R V"],
    uniforms: Float[Tensor, "R"] | None = None,
    draw_temperatures: Float[Tensor, "R"] | None = None,
) -> Statistics:
    """Entropy, argmax, log-normaliser and one draw per row of fp32 logits; -inf marks an id that cannot be.

    A draw temperature (> 0; None: 1) divides a row's logits once more for the draw alone. A row's result depends on
    that row only.
    """
    peak, best = tempered.max(dim=-1)
    shifted = (tempered - peak.unsqueeze(-1)).clamp_(min=_FLOOR)
    weights = shifted.exp()
    total = weights.sum(dim=-1)
    log_total = total.log()
    sample = None
    if uniforms is not None:
        draw_weights = weights if draw_temperatures is None else (shifted / draw_temperatures.unsqueeze(-1)).exp_()
        sample = inverse_cdf(draw_weights, uniforms, best)
    # The peak weighs 1, so log_total >= 0 and every product is <= 0: the entropy cannot come out negative.
    entropy = log_total - shifted.mul_(weights).sum(dim=-1) / total
    return Statistics(entropy, best, -log_total, peak + log_total, sample)


def inverse_cdf(
    weights: Float[Tensor, "R V"], uniforms: Float[Tensor, "R"], best: Int[Tensor, "R"]
) -> Int[Tensor, "R"]:
    """Per row the smallest id whose cumulative weight is strictly above uniform * total; weights need no sum of 1.

    `best` is any id of positive weight. A uniform below 1 times the total stays below the total in fp32, so there is
    always such an id, and where the cumulative sum never falls it has a positive weight. A parallel sum (CUDA) may
    fall or rise by a rounding error at an id of weight 0; `best` stands in there.
    """
    cumulative = weights.cumsum(dim=-1)
    thresholds = uniforms.unsqueeze(-1) * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, thresholds, right=True)
    drawn = drawn.clamp_(max=weights.shape[-1] - 1)  # a row of NaN finds nothing; its caller refuses it
    is_possible = weights.gather(-1, drawn).squeeze(-1) > 0
    return torch.where(is_possible, drawn.squeeze(-1), best)
