import pytest
import torch

from redraft.diffusion.process import CounterDraws, GeneratorDraws, Place
from redraft.kernels.random import Stream, random_ids, uniforms

POSITIONS = torch.arange(6)


def test_counter_draws_use_the_documented_counters():
    draws = CounterDraws(seed=9)
    place = Place(canvas_index=2, denoising_step=11)
    assert torch.equal(draws.first_canvas(2, 6, 50), random_ids(9, 2, 0, Stream.FIRST_CANVAS, POSITIONS, 50))
    assert torch.equal(draws.uniforms(place, 6), uniforms(9, 2, 11, Stream.TOKEN, POSITIONS))
    assert torch.equal(draws.noise(place, 6, 50), random_ids(9, 2, 11, Stream.RENOISE, POSITIONS, 50))


def test_a_single_position_draws_what_it_draws_in_a_canvas():
    draws = CounterDraws(seed=9)
    canvas = draws.uniforms(Place(0, 3), 200)
    alone = [draws.uniforms(Place(0, 3, position), 1) for position in (0, 4, 63, 64, 199)]
    assert torch.equal(torch.cat(alone), canvas[[0, 4, 63, 64, 199]])


def test_counter_draws_do_not_depend_on_what_was_drawn_before():
    first, second = CounterDraws(1), CounterDraws(1)
    first.noise(Place(0, 30), 6, 50)
    assert torch.equal(first.uniforms(Place(0, 3), 6), second.uniforms(Place(0, 3), 6))


def test_streams_of_one_place_differ():
    draws = CounterDraws(1)
    numbers = [tuple(draws.uniforms(Place(0, 0), 6, stream).tolist()) for stream in Stream]
    assert len(set(numbers)) == len(Stream)


def test_generator_draws_are_the_operations_of_the_reference_in_its_order():
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    draws = GeneratorDraws(torch.Generator().manual_seed(3))
    ours = [draws.first_canvas(0, 6, 50), draws.tokens(logits, Place(0, 0)), draws.noise(Place(0, 0), 6, 50)]
    state = torch.random.get_rng_state()
    torch.manual_seed(3)
    expected = [
        torch.randint(0, 50, (1, 6))[0],
        torch.multinomial(torch.softmax(logits, dim=-1), 1)[:, 0],
        torch.randint(0, 50, (1, 6))[0],
    ]
    torch.random.set_rng_state(state)
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


@pytest.mark.parametrize("draws", [CounterDraws(5), GeneratorDraws(torch.Generator().manual_seed(5))])
def test_drawn_tokens_follow_the_logits(draws):
    logits = torch.tensor([0.0, 1.0, -1.0, -torch.inf]).expand(30_000, 4)
    counts = torch.bincount(draws.tokens(logits, Place(0, 0)), minlength=4).double()
    expected = logits[0].softmax(dim=0).double() * 30_000
    assert counts[3] == 0
    assert ((counts - expected)[:3] ** 2 / expected[:3]).sum() < 13.8  # 0.999 quantile, 2 degrees of freedom
