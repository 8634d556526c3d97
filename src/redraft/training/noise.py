"""What becomes of a clean canvas before it is shown to the model: cut shorter, noised, a stretch of it or all."""

import torch

from redraft.shapes import Bool, Float, Tensor
from redraft.training.data import Group


def corrupt(
    group: Group,
    proportions: Float[Tensor, "B"],
    vocab_size: int,
    generator: torch.Generator,
    spans: float = 0.0,
) -> Tensor:
    """The canvas with each token replaced, with its example's probability, by a uniform id (which may equal it).

    Of a share `spans` of the examples one stretch alone is noised, as where a hole is filled between clean sides.
    """
    noise = torch.randint(vocab_size, group.canvas.shape, generator=generator)
    is_noised = torch.rand(group.canvas.shape, generator=generator) < proportions[:, None]
    if group.is_fixed is not None:
        is_noised &= ~group.is_fixed
    if spans:
        is_noised &= ~outside_span(len(group), group.canvas.shape[1], spans, generator)
    return torch.where(is_noised, noise, group.canvas)


def outside_span(count: int, length: int, share: float, generator: torch.Generator) -> Bool[Tensor, "count length"]:
    """True where a canvas stays clean: for a share of them all but one stretch, 10 to 70 of 100 tokens long.

    . . . . . . . .    not of the share: nothing stays clean
    1 1 . . . 1 1 1    a stretch of three tokens is open to noise
    """
    draws = torch.rand(3, count, 1, generator=generator)
    size = ((0.1 + 0.6 * draws[0]) * length).ceil()
    start = (draws[1] * (length - size + 1)).floor()
    places = torch.arange(length)
    return ((places < start) | (places >= start + size)) & (draws[2] < share)


def spread_proportions(count: int, generator: torch.Generator) -> Float[Tensor, "count"]:
    """`count` numbers, each uniform in (0, 1), one in every interval of length 1 / count, in random order."""
    steps = torch.randperm(count, generator=generator)
    return (steps + torch.rand(count, generator=generator)) / count


def shortened(group: Group, length: int, generator: torch.Generator) -> Group:
    """The same examples on canvases of at most `length`: one stretch of the old canvas, what is before it prompt.

    The canvas is cut every `length` tokens, as it would be served with that canvas length; which piece is drawn.
    """
    num_pieces = -(-group.canvas.shape[1] // length)
    start = length * int(torch.randint(num_pieces, (1,), generator=generator))
    prompt = torch.cat((group.prompt, group.canvas[:, :start]), dim=1)
    piece = slice(start, start + length)
    return Group(prompt, group.canvas[:, piece], None if group.is_fixed is None else group.is_fixed[:, piece])
