"""Noise proportion and temperature of each denoising step."""

from dataclasses import dataclass

import numpy as np


def noise_proportion(denoising_step: int, max_denoising_steps: int, restart_after: int | None = None) -> float:
    """1 at the first step (0), 1/N at the last (N - 1); rounded to fp32, the precision of the reference.

    A canvas that starts anew after fewer than N steps goes through a schedule of so many, again and again.
    """
    num_steps = min(max_denoising_steps, restart_after or max_denoising_steps)
    return float(np.float32(num_steps - denoising_step % num_steps) / np.float32(num_steps))


def starts_anew(denoising_step: int, restart_after: int | None) -> bool:
    """Whether the canvas is fresh noise again after this step, without self-conditioning and without a history."""
    return restart_after is not None and (denoising_step + 1) % restart_after == 0


@dataclass(frozen=True)
class LinearTemperature:
    """t_min + (t_max - t_min) * noise proportion, rounded to fp32 after each operation as the reference does."""

    t_min: float
    t_max: float

    def __call__(self, noise_proportion: float) -> float:
        return float(np.float32(self.t_min) + np.float32(self.t_max - self.t_min) * np.float32(noise_proportion))
