"""What is noised, what stays clean, and where a canvas is cut."""

from dataclasses import replace

import pytest
import torch

from redraft.training.data import Group
from redraft.training.noise import corrupt, outside_span, shortened, spread_proportions

V, C = 16, 6


def group(batch: int = 3, prompt_length: int = 5) -> Group:
    ids = torch.randint(V, (batch, prompt_length + C), generator=seeded())
    return Group(ids[:, :prompt_length], ids[:, prompt_length:])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_proportions_are_one_per_interval():
    proportions = spread_proportions(50, seeded()).sort().values
    assert ((proportions * 50).long() == torch.arange(50)).all()


def test_proportion_zero_keeps_and_one_replaces_by_any_id():
    many = group(batch=400)
    assert torch.equal(corrupt(many, torch.zeros(400), V, seeded()), many.canvas)
    noisy = corrupt(many, torch.ones(400), V, seeded())
    assert set(noisy.flatten().tolist()) == set(range(V))
    # uniform over the whole vocabulary, so the truth itself is drawn one time in V
    assert (noisy == many.canvas).float().mean().item() == pytest.approx(1 / V, abs=0.02)


def test_fixed_positions_are_never_noised():
    suffix = torch.arange(C) >= 2
    fixed = replace(group(batch=50), is_fixed=suffix.expand(50, C))
    for spans in (0.0, 1.0):
        noisy = corrupt(fixed, torch.ones(50), V, seeded(), spans)
        assert torch.equal(noisy[:, 2:], fixed.canvas[:, 2:])
        assert not torch.equal(noisy[:, :2], fixed.canvas[:, :2])


def test_an_open_span_is_one_stretch_of_a_tenth_to_seven_tenths_of_the_canvas():
    is_open = ~outside_span(2000, 40, 1.0, seeded())
    sizes = is_open.sum(1)
    assert sizes.min() == 5 and sizes.max() == 28
    ends = torch.diff(is_open.int(), dim=1, prepend=torch.zeros(2000, 1, dtype=torch.int)).clamp(min=0).sum(1)
    assert (ends == 1).all(), "one stretch each"
    assert is_open.any(0).all(), "anywhere on the canvas"


def test_only_a_share_of_the_canvases_has_a_clean_surrounding():
    is_whole = ~outside_span(4000, 20, 0.3, seeded()).any(1)
    assert is_whole.float().mean().item() == pytest.approx(0.7, abs=0.03)


def test_clean_spans_reach_the_noised_canvas():
    many = group(batch=300)
    noisy = corrupt(many, torch.ones(300), V, seeded(), spans=1.0)
    changed = (noisy != many.canvas).float().mean().item()
    assert changed == pytest.approx(0.45 * (1 - 1 / V), abs=0.1)


def test_a_shortened_canvas_is_a_piece_with_what_is_before_it_in_the_prompt():
    whole = replace(group(), is_fixed=torch.arange(C).expand(3, C) >= 4)
    starts = set()
    for seed in range(30):
        short = shortened(whole, 4, seeded(seed))
        P, L = short.prompt.shape[1], short.canvas.shape[1]
        starts.add((P, L))
        assert torch.equal(
            torch.cat((short.prompt, short.canvas), 1), torch.cat((whole.prompt, whole.canvas), 1)[:, : P + L]
        )
        assert torch.equal(short.is_fixed, whole.is_fixed[:, P - 5 : P - 5 + L])
    assert starts == {(5, 4), (9, 2)}


def test_a_canvas_that_is_short_enough_stays():
    whole = group()
    same = shortened(whole, 99, seeded())
    assert torch.equal(same.prompt, whole.prompt) and torch.equal(same.canvas, whole.canvas)
