"""Noise proportion and temperature of each denoising step."""

from dataclasses import dataclass

import numpy as np


def noise_proportion(denoising_step: int, max_denoising_steps: int) -> float:
    """1 at the first step (0), 1/N at the last (N - 1); rounded to fp32, the precision of the reference."""
    return float(np.float32(max_denoising_steps - denoising_step) / np.float32(max_denoising_steps))


@dataclass(frozen=True)
class LinearTemperature:
    """t_min + (t_max - t_min) * noise proportion, rounded to fp32 after each operation as the reference does."""

    t_min: float
    t_max: float

    def __call__(self, noise_proportion: float) -> float:
        return float(np.float32(self.t_min) + np.float32(self.t_max - self.t_min) * np.float32(noise_proportion))
