"""Where randomness enters: the first canvas, the token draw and the noise of each denoising step.

Two sources and only these: counters keyed by the request's seed (everything users run), and a torch.Generator used the
way transformers uses the global one (parity). Both offer the same methods, so the loop does not know which it has.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from redraft.kernels.random import Stream, as_ids, as_uniforms, philox, random_ids
from redraft.kernels.statistics import inverse_cdf
from redraft.shapes import Float, Int, Tensor

# Words are made for a block of places at once: a canvas takes them step by step, left-to-right decoding one by one.
_STEPS_PER_BLOCK = 8
_POSITIONS_PER_BLOCK = 64


class Place(NamedTuple):
    """Which row of logits a draw is for; with the seed it determines the draw. Counts from 0."""

    canvas_index: int
    denoising_step: int
    position: int = 0  # of the first row


@runtime_checkable
class Draws(Protocol):
    """A source of randomness for one request; results are on its device."""

    def first_canvas(self, canvas_index: int, canvas_length: int, vocab_size: int) -> Int[Tensor, "C"]:
        """Uniform token ids: what denoising starts from."""
        ...

    def uniforms(self, place: Place, num_rows: int) -> Float[Tensor, "R"] | None:
        """One number in [0, 1) per row for the token draw; None where only `tokens` can draw."""
        ...

    def tokens(self, logits: Float[Tensor, "R V"], place: Place) -> Int[Tensor, "R"]:
        """One id per row, drawn from softmax(logits)."""
        ...

    def noise(self, place: Place, num_rows: int, vocab_size: int) -> Int[Tensor, "R"]:
        """Uniform token ids for what a denoising step does not accept; asked for after every step, the last too."""
        ...


@dataclass(frozen=True)
class CounterDraws:
    """Draws that depend on (seed, place) alone: alone or in a batch, before and after a pause, the same numbers."""

    seed: int
    device: torch.device | str = "cpu"

    def first_canvas(self, canvas_index: int, canvas_length: int, vocab_size: int) -> Int[Tensor, "C"]:
        positions = torch.arange(canvas_length, device=self.device)
        return random_ids(self.seed, canvas_index, 0, Stream.FIRST_CANVAS, positions, vocab_size)

    def uniforms(self, place: Place, num_rows: int, stream: Stream = Stream.TOKEN) -> Float[Tensor, "R"]:
        return as_uniforms(self._words(place, num_rows, stream))

    def tokens(self, logits: Float[Tensor, "R V"], place: Place) -> Int[Tensor, "R"]:
        peak, best = logits.max(dim=-1, keepdim=True)
        weights = (logits - peak).exp_()
        return inverse_cdf(weights, self.uniforms(place, len(logits)), best.squeeze(-1))

    def noise(self, place: Place, num_rows: int, vocab_size: int) -> Int[Tensor, "R"]:
        return as_ids(self._words(place, num_rows, Stream.RENOISE), vocab_size)

    def _words(self, place: Place, num_rows: int, stream: Stream) -> Int[Tensor, "R"]:
        canvas_index, step, position = place
        if num_rows == 1:
            first = position - position % _POSITIONS_PER_BLOCK
            block = _word_block(self.seed, canvas_index, step, 1, stream, first, _POSITIONS_PER_BLOCK, self.device)
            return block[0, position - first : position - first + 1]
        first = step - step % _STEPS_PER_BLOCK
        block = _word_block(self.seed, canvas_index, first, _STEPS_PER_BLOCK, stream, position, num_rows, self.device)
        return block[step - first]


@dataclass(frozen=True)
class GeneratorDraws:
    """Draws from a torch.Generator, advanced in place, by transformers' operations in transformers' order.

    Per canvas `randint`; per denoising step `multinomial` over all rows, then `randint`. `place` plays no part.
    """

    generator: torch.Generator
    device: torch.device | str = "cpu"

    def first_canvas(self, canvas_index: int, canvas_length: int, vocab_size: int) -> Int[Tensor, "C"]:
        return self._randint(canvas_length, vocab_size)

    def uniforms(self, place: Place, num_rows: int) -> None:
        return None

    def tokens(self, logits: Float[Tensor, "R V"], place: Place) -> Int[Tensor, "R"]:
        weights = logits.softmax(dim=-1).to(self.generator.device)
        return torch.multinomial(weights, num_samples=1, generator=self.generator).squeeze(-1).to(self.device)

    def noise(self, place: Place, num_rows: int, vocab_size: int) -> Int[Tensor, "R"]:
        return self._randint(num_rows, vocab_size)

    def _randint(self, length: int, vocab_size: int) -> Int[Tensor, "R"]:
        generator = self.generator
        return torch.randint(vocab_size, (length,), generator=generator, device=generator.device).to(self.device)


@lru_cache(maxsize=64)
def _word_block(
    seed: int,
    canvas_index: int,
    first_step: int,
    num_steps: int,
    stream: Stream,
    first_position: int,
    num_positions: int,
    device: torch.device | str,
) -> Int[Tensor, "steps positions"]:
    """First words of many places: some 80 tiny tensor operations, which cost the same for one place as for a block.

    A pure function, so remembering its result changes nothing but time. Callers do not write to it.
    """
    steps = torch.arange(first_step, first_step + num_steps, device=device)[:, None].expand(-1, num_positions)
    positions = torch.arange(first_position, first_position + num_positions, device=device).repeat(num_steps)
    words = philox(seed, canvas_index, steps.flatten(), stream, positions)[:, 0]
    return words.contiguous().view(num_steps, num_positions)
