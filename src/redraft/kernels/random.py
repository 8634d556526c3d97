"""Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011) as tensor arithmetic.

A number depends on its counter and key alone, so it is the same on every device, in every batch, and after a pause.
Key: the (low, high) 32-bit words of a request's seed. Counter: (canvas index, denoising step, stream, position).
"""

from enum import IntEnum
from functools import lru_cache

import torch

from redraft.shapes import Float, Int, Tensor

_WORD = 0xFFFFFFFF
# The generator's published constants: the multipliers of counter words 0 and 2, the steps of key words 0 and 1.
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_NUM_ROUNDS = 10


class Stream(IntEnum):
    """What a draw is for: the third counter word, so that no two draws of a request share a number."""

    FIRST_CANVAS = 0
    TOKEN = 1
    RENOISE = 2
    EDGE = 3
    CLASS = 4
    EDIT = 5


def philox(
    seed: int, canvas_index: int, denoising_steps: int | Int[Tensor, "P"], stream: int, positions: Int[Tensor, "P"]
) -> Int[Tensor, "P 4"]:
    """Four 32-bit words per counter (int64), on the device of `positions`."""
    device = positions.device
    steps = denoising_steps if isinstance(denoising_steps, Tensor) else torch.full_like(positions, denoising_steps)
    # The multipliers act on words 0 and 2, so the counter is held as the pairs (0, 2) and (1, 3).
    even = torch.stack([torch.full_like(positions, canvas_index), torch.full_like(positions, stream)])
    odd = torch.stack([steps, positions]).long()
    multipliers = _columns((_MULTIPLIERS,), device)[0]
    for key in _columns(_round_keys(seed), device):
        # int64 products wrap, which leaves the 64 bits of the unsigned product; the mask undoes the sign extension.
        product = even * multipliers
        even = ((product >> 32) & _WORD).flip(0) ^ odd ^ key
        odd = (product & _WORD).flip(0)
    return torch.stack([even[0], odd[0], even[1], odd[1]], dim=1)


def uniforms(
    seed: int, canvas_index: int, denoising_step: int, stream: int, positions: Int[Tensor, "P"]
) -> Float[Tensor, "P"]:
    """A number in [0, 1) per position: fp32."""
    return as_uniforms(philox(seed, canvas_index, denoising_step, stream, positions)[:, 0])


def random_ids(
    seed: int, canvas_index: int, denoising_step: int, stream: int, positions: Int[Tensor, "P"], vocab_size: int
) -> Int[Tensor, "P"]:
    """A token id per position, uniform over 0..vocab_size-1."""
    return as_ids(philox(seed, canvas_index, denoising_step, stream, positions)[:, 0], vocab_size)


def as_uniforms(words: Int[Tensor, "P"]) -> Float[Tensor, "P"]:
    """First words -> numbers in [0, 1), multiples of 2**-24 and therefore exact in fp32."""
    return (words >> 8).float() * 2.0**-24


def as_ids(words: Int[Tensor, "P"], vocab_size: int) -> Int[Tensor, "P"]:
    """First words -> token ids below `vocab_size` (up to 2**31)."""
    return (words * vocab_size) >> 32


def _round_keys(seed: int) -> tuple[tuple[int, int], ...]:
    """The two key words of each round."""
    low, high = seed & _WORD, seed >> 32
    return tuple(
        ((low + index * _KEY_STEPS[0]) & _WORD, (high + index * _KEY_STEPS[1]) & _WORD) for index in range(_NUM_ROUNDS)
    )


@lru_cache(maxsize=64)
def _columns(pairs: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Int[Tensor, "2 1"], ...]:
    """Pairs of numbers as columns. Remembered: making one on a GPU waits for it."""
    return torch.tensor(pairs, device=device).unsqueeze(2).unbind(0)
