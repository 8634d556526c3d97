"""Fused layers against the layers they are made from, and their rows against their company."""

from dataclasses import replace

import pytest
import torch

from redraft.cache.view import AutogradCache
from redraft.config import LayerConfig
from redraft.kernels import native
from redraft.kernels.suite import PLAIN
from redraft.model.masks import Role, Segment
from redraft.model.transformer import PackedBatch, random_model
from redraft.training.recipes import mini_full_model, sudoku_model

state = native.native_state()
pytestmark = pytest.mark.skipif(not state.is_usable, reason=state.reason)

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
# Width, heads, key-value heads, head size, whether keys are values, dense hidden size, experts, their size, how many
# are chosen: a shipped shape, one that is a multiple of nothing, one with a single expert per row.
SHAPES = pytest.mark.parametrize(
    "shape",
    [(96, 4, 2, 24, False, 192, 4, 48, 2), (33, 3, 1, 18, True, 17, 5, 7, 3), (64, 2, 2, 34, False, 40, 2, 16, 1)],
)


def model_of(shape, dtype=torch.float32):
    """Random weights, none of them 1, rounded to bf16 so that any dtype holds them."""
    size, num_heads, num_kv, head, shares_kv, hidden, num_experts, expert_size, num_chosen = shape
    layer = LayerConfig(
        is_sliding=False, num_kv_heads=num_kv, head_dim=head, shares_kv=shares_kv, rope_theta=100.0, rope_fraction=1.0
    )
    config = replace(
        sudoku_model(), hidden_size=size, num_heads=num_heads, layers=(layer, replace(layer, is_sliding=True)),
        intermediate_size=hidden, num_experts=num_experts, moe_intermediate_size=expert_size,
        num_experts_per_token=num_chosen,
    )  # fmt: skip
    model = random_model(config, seed=1).requires_grad_(False)
    for parameter in model.parameters():
        spread = 0.1 if parameter.ndim < 2 else 0.0
        parameter += spread * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
        parameter.copy_(parameter.bfloat16())
    return model.to(dtype)


@torch.inference_mode()
def logits(model):
    """Of a prompt and of a canvas that has a signal."""
    generator = torch.Generator().manual_seed(3)
    prompt, canvas = (torch.randint(16, (2, length), generator=generator) for length in (21, 13))
    cache = model.new_cache(2)
    encoded = model.encode(prompt, cache)
    return encoded, model.denoise(canvas, cache, torch.randn(2, 13, 16, generator=generator))


@SHAPES
def test_a_fused_model_gives_the_logits_of_plain_torch(shape):
    fused = model_of(shape)
    fused.use(native.native_suite())
    assert fused.is_fused
    for got, wanted in zip(logits(fused), logits(model_of(shape)), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@SHAPES
def test_a_fused_model_in_bf16_is_no_further_from_fp32_than_plain_torch_in_bf16(shape):
    fused = model_of(shape, torch.bfloat16)
    fused.use(native.native_suite())
    sides = (logits(model_of(shape)), logits(fused), logits(model_of(shape, torch.bfloat16)))
    for exact, got, plain in zip(*sides, strict=True):
        # The median row: one that rounding sends to another expert is far off, on either side.
        ours, theirs = ((side - exact).norm(dim=-1).median() for side in (got, plain))
        assert ours < 1.2 * theirs


@SHAPES
def test_a_fused_layer_keeps_its_weights_and_says_where_it_routed(shape):
    plain, fused = model_of(shape), model_of(shape)
    fused.use(native.native_suite())
    for name, weight in fused.state_dict().items():
        assert torch.equal(weight, plain.state_dict()[name]), name
    size, num_heads, head = plain.config.hidden_size, plain.config.num_heads, plain.config.layers[0].head_dim
    x, attended = torch.randn(9, size), torch.randn(9, num_heads * head)
    _, probabilities, expert_ids, weights = fused.layers[0].fused.after(x, attended, torch.ones(1), False)
    layer = plain.layers[0]
    unit = PLAIN.norm(layer.attention_post_norm.onto(x, layer.attention.out(attended)), None, 1e-6)
    wanted = layer.moe.router(unit)
    torch.testing.assert_close(probabilities, wanted.probabilities)
    assert torch.equal(expert_ids, wanted.expert_ids)
    torch.testing.assert_close(weights, wanted.weights)


def test_weights_changed_in_place_are_the_ones_a_fused_layer_runs():
    fused, changed = (model_of((33, 3, 1, 18, True, 17, 5, 7, 3)) for _ in range(2))
    fused.use(native.native_suite())
    for model in (fused, changed):
        model.layers[1].mlp.down.weight.mul_(-1)
        model.layers[0].attention.qkv.weight[3] += 1
    torch.testing.assert_close(logits(fused)[1], logits(changed)[1], rtol=1e-4, atol=1e-4)


def test_plain_torch_runs_under_a_gradient_and_after_the_fused_layers():
    model = model_of((96, 4, 2, 24, False, 192, 4, 48, 2))
    wanted = logits(model)[0]
    model.use(native.native_suite())
    weight = model.layers[0].mlp.down.weight.requires_grad_(True)
    batch = PackedBatch(torch.arange(16), None, (Segment(0, 1, 16, Role.ENCODE, AutogradCache(model.config)),))
    model.hidden(batch).sum().backward()
    assert weight.grad is not None and weight.grad.abs().max() > 0
    model.use(PLAIN)
    assert not model.is_fused and model.layers[0].fused is None
    torch.testing.assert_close(logits(model)[0], wanted)


@DTYPES
@SHAPES
@torch.inference_mode()
def test_a_row_depends_on_neither_its_company_nor_the_number_of_threads(dtype, shape):
    model = model_of(shape, dtype)
    model.use(native.native_suite())
    layer, config = model.layers[0].fused, model.config
    head = config.layers[0].head_dim
    generator = torch.Generator().manual_seed(4)
    x, attended, turns, scales = (
        torch.randn(300, *size, generator=generator).to(dtype)
        for size in ((config.hidden_size,), (config.num_heads * head,), (2, head), (1,))
    )
    whole = (*layer.before(x, turns), *layer.after(x, attended, scales, True))
    num_threads = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for rows in (slice(0, 1), slice(3, 5), slice(40, 71), slice(1, 83), slice(49, 300)):
                before = layer.before(x[rows], turns[rows])
                after = layer.after(x[rows], attended[rows], scales[rows], True)
                for part, expected in zip((*before, *after), whole, strict=True):
                    assert torch.equal(part, expected[rows]), (threads, rows)
    finally:
        torch.set_num_threads(num_threads)


@pytest.mark.parametrize(("dtype", "width", "is_fused"), [
    (torch.float32, 384, True), (torch.float32, 512, False), (torch.bfloat16, 384, False), (torch.bfloat16, 96, True)
])  # fmt: skip
def test_layers_are_fused_up_to_a_size(dtype, width, is_fused):
    model = random_model(replace(mini_full_model(), hidden_size=width), dtype=dtype)
    if width == 96:
        model = model_of((96, 4, 2, 24, False, 192, 4, 48, 2), dtype)
    model.use(native.native_suite())
    assert model.is_fused == is_fused


def test_rows_and_weights_of_another_shape_are_refused():
    model = model_of((96, 4, 2, 24, False, 192, 4, 48, 2))
    with pytest.raises(RuntimeError, match="laid out"):
        native.native_suite().fuse.args[0].FusedLayer(
            {name: weight.detach() for name, weight in model.layers[0].named_parameters()}, 1e-6, 4, 2, False, 2
        )
    model.use(native.native_suite())
    with pytest.raises(RuntimeError, match="contiguous numbers"):
        model.layers[0].fused.before(torch.zeros(3, 96), torch.zeros(2, 2, 24))
    with pytest.raises(RuntimeError, match="contiguous numbers"):
        model.layers[0].fused.after(torch.zeros(3, 96), torch.zeros(3, 96, dtype=torch.bfloat16), torch.ones(1), False)
