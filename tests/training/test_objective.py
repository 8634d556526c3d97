"""The loss: what is noised, who sees whom, when self-conditioning is on."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from redraft.cache.view import AutogradCache
from redraft.config import LayerConfig, ModelConfig
from redraft.errors import InvalidRequest
from redraft.model.moe import Routing
from redraft.model.transformer import DiffusionTransformer, random_model
from redraft.training.data import Group
from redraft.training.noise import corrupt, spread_proportions
from redraft.training.objective import Objective, balance_loss, training_loss

V, C = 16, 6
PLAIN = Objective(autoregressive=0.0, balance=0.0, self_conditioning=0.0)


@pytest.fixture(scope="module")
def model() -> DiffusionTransformer:
    layer = LayerConfig(
        is_sliding=True, num_kv_heads=1, head_dim=8, shares_kv=False, rope_theta=100.0, rope_fraction=1.0
    )
    full = replace(layer, is_sliding=False, shares_kv=True)
    config = ModelConfig(
        vocab_size=V,
        hidden_size=16,
        intermediate_size=24,
        moe_intermediate_size=8,
        num_experts=4,
        num_experts_per_token=2,
        num_heads=2,
        layers=(layer, full),
        sliding_window=64,
        rms_norm_eps=1e-6,
        logit_softcap=30.0,
        canvas_length=C,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_ids=(1,),
    )
    return random_model(config, seed=1)


def group(batch: int = 3, prompt_length: int = 5, seed: int = 0) -> Group:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(V, (batch, prompt_length + C), generator=generator)
    return Group(ids[:, :prompt_length], ids[:, prompt_length:])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_denoise_loss_is_plain_cross_entropy_over_every_canvas_position(model):
    examples = group()
    losses = training_loss(model, [examples], PLAIN, seeded(3))
    generator = seeded(3)
    noisy = corrupt(examples, spread_proportions(3, generator), V, generator)
    cache = model.new_cache(3)
    with torch.no_grad():
        model.encode(examples.prompt, cache, logits=False)
        logits = model.denoise(noisy, cache)
    wanted = F.cross_entropy(logits.flatten(0, 1), examples.canvas.flatten())
    assert losses.denoise.item() == pytest.approx(wanted.item(), abs=1e-5)


def test_autoregressive_loss_is_next_token_cross_entropy_of_the_encoder(model):
    examples = group()
    for on_canvas in (False, True):
        objective = replace(PLAIN, autoregressive=1.0, autoregressive_on_canvas=on_canvas)
        text = torch.cat((examples.prompt, examples.canvas), 1) if on_canvas else examples.prompt
        with torch.no_grad():
            logits = model.encode(text, model.new_cache(3))
        wanted = F.cross_entropy(logits[:, :-1].flatten(0, 1), text[:, 1:].flatten())
        losses = training_loss(model, [examples], objective, seeded())
        assert losses.autoregressive.item() == pytest.approx(wanted.item(), abs=1e-5)


def test_encoding_the_canvas_too_does_not_leak_it_to_the_denoiser(model):
    """Trap 1: only clean tokens strictly before the canvas are visible to it."""
    short = training_loss(model, [group()], PLAIN, seeded())
    long = training_loss(model, [group()], replace(PLAIN, autoregressive_on_canvas=True), seeded())
    assert short.denoise.item() == pytest.approx(long.denoise.item(), abs=1e-5)


def test_self_conditioning_feeds_back_the_first_prediction_at_temperature_one_without_gradient(model):
    examples = group()
    losses = training_loss(model, [examples], replace(PLAIN, self_conditioning=1.0), seeded(4))
    generator = seeded(4)
    noisy = corrupt(examples, spread_proportions(3, generator), V, generator)
    cache = model.new_cache(3)
    with torch.no_grad():
        model.encode(examples.prompt, cache, logits=False)
        logits = model.denoise(noisy, cache, model.denoise(noisy, cache))
    wanted = F.cross_entropy(logits.flatten(0, 1), examples.canvas.flatten())
    assert losses.denoise.item() == pytest.approx(wanted.item(), abs=1e-5)


def test_half_the_examples_are_self_conditioned_and_the_rest_see_an_exact_zero(model):
    seen = []

    def spy(batch, routings=None):
        seen.append(batch.signal)
        return model.hidden(batch, routings)

    counts = []
    for seed in range(40):
        training_loss(model, [group()], replace(PLAIN, self_conditioning=0.5), seeded(seed), hidden=spy)
        rows = seen[-1].view(3, -1)
        is_on = rows.abs().amax(1) > 0
        assert all(before >= after for before, after in pairwise(is_on.tolist()))
        counts.append(is_on.sum().item())
    assert set(counts) == {1, 2}  # 1.5 of 3 on average
    assert sum(counts) / 40 == pytest.approx(1.5, abs=0.25)


def test_groups_of_different_prompt_lengths_give_what_each_gives_alone(model):
    """Weighted by their sizes, with noise of their own (proportions are drawn over the whole batch, so none here)."""
    groups = [group(2, 5), group(3, 8, seed=1)]
    fixed = [replace(g, is_fixed=torch.ones_like(g.canvas, dtype=torch.bool)) for g in groups]
    both = training_loss(model, fixed, PLAIN, seeded()).denoise.item()
    alone = [training_loss(model, [g], PLAIN, seeded()).denoise.item() for g in fixed]
    assert both == pytest.approx((2 * alone[0] + 3 * alone[1]) / 5, abs=1e-5)


def test_gradient_reaches_the_encoder_through_the_canvas(model):
    model.zero_grad()
    training_loss(model, [group()], PLAIN, seeded()).total.backward()
    for layer in model.layers:
        assert layer.scalars.grad[0].item() != 0 or layer is model.layers[-1]
    model.zero_grad()


def test_balance_loss_is_one_when_even_and_larger_when_not():
    even = Routing(torch.full((4, 4), 0.25), torch.tensor([[0, 1], [2, 3], [0, 1], [2, 3]]), torch.full((4, 2), 0.5))
    assert balance_loss([even]).item() == pytest.approx(1.0)
    one_sided = torch.tensor([[0.7, 0.2, 0.05, 0.05]]).repeat(4, 1)
    skewed = Routing(one_sided, torch.tensor([[0, 1]]).repeat(4, 1), torch.full((4, 2), 0.5))
    assert balance_loss([skewed]).item() > 1.5


def test_the_same_generator_gives_the_same_loss(model):
    first, again, other = (training_loss(model, [group()], Objective(), seeded(seed)) for seed in (7, 7, 8))
    assert first.total.item() == again.total.item() != other.total.item()


def test_a_part_of_a_cache_holds_the_first_requests_without_their_graph(model):
    cache = AutogradCache(model.config)
    model.encode(group().prompt, cache, logits=False)
    part = cache.first(2)
    keys, _ = part.put(0, torch.zeros(2, 1, 1, 8), torch.zeros(2, 1, 1, 8))
    assert keys.shape == (2, 6, 1, 8) and part.length == 5
    assert not keys.requires_grad


def test_visited_canvases_are_what_one_denoising_step_makes(model):
    objective = replace(PLAIN, self_conditioning=1.0, visited=1.0)
    seen = []

    def watch(batch, routings=None):
        seen.append(batch)
        return model.hidden(batch, routings)

    sure = Group(torch.full((2, 5), 3), torch.full((2, C), 7))
    loss = training_loss(model, [sure], objective, seeded(), hidden=watch)
    _, first, second = (batch.token_ids.view(2, -1) for batch in seen)
    assert first.shape == second.shape == (2, C)
    assert not torch.equal(first, second), "random weights accept little: the canvas is mostly fresh noise"
    assert torch.isfinite(loss.total) and seen[2].signal is not None


def test_visited_canvases_need_the_whole_vocabulary():
    with pytest.raises(InvalidRequest, match="visited"):
        Objective(visited=0.5, num_candidates=8)
