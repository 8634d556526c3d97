import math
from dataclasses import replace

import pytest
import torch

from redraft.config import LayerConfig
from redraft.kernels.rows import rotate, unit_rms
from redraft.model.layers import GatedMLP, RMSNorm, Rotary, rotary_frequencies

FULL = LayerConfig(is_sliding=False, num_kv_heads=1, head_dim=16, shares_kv=True, rope_theta=1e6, rope_fraction=0.25)


def test_the_norm_multiplies_by_its_plain_weight():
    norm = RMSNorm(4, 0.0)
    norm.weight.data = torch.tensor([2.0, 1.0, 1.0, 0.0])
    assert norm(torch.tensor([[3.0, -3.0, 3.0, 3.0]])).tolist() == [[2.0, -1.0, 1.0, 0.0]]


def test_the_norm_sums_its_squares_in_fp32():
    rows = torch.ones(1, 4096, dtype=torch.bfloat16)  # summed in bf16, 4096 ones are 256
    assert torch.equal(RMSNorm(4096, 1e-6).bfloat16()(rows), rows)


def test_normalising_onto_a_base_is_adding_the_normalised():
    norm = RMSNorm(6, 1e-6)
    torch.nn.init.normal_(norm.weight)
    base, x = torch.randn(3, 6), torch.randn(3, 6)
    torch.testing.assert_close(norm.onto(base, x), base + norm(x))


def turns_of(rotary, *positions):
    return rotary([range(position, position + 1) for position in positions], torch.device("cpu"), torch.float32)


def test_the_exponent_of_proportional_frequencies_runs_over_the_whole_head():
    expected = [1e6 ** (-2 * j / 16) for j in range(2)] + [0.0] * 6
    assert rotary_frequencies(FULL).tolist() == pytest.approx(expected)


def test_all_pairs_turn_where_the_fraction_is_one():
    frequencies = rotary_frequencies(replace(FULL, rope_fraction=1.0))
    assert frequencies.tolist() == pytest.approx([1e6 ** (-2 * j / 16) for j in range(8)])


def test_pairs_are_half_a_head_apart():
    layer = replace(FULL, head_dim=4, rope_fraction=1.0)
    (turns,) = turns_of(Rotary((layer,)), 3)
    x = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    assert rotate(x, turns)[0, 0].tolist() == pytest.approx([math.cos(3), 0, math.sin(3), 0])


def test_scores_of_rotated_rows_depend_on_their_distance_alone():
    rotary = Rotary((replace(FULL, rope_fraction=1.0),))
    query, key = torch.randn(1, 1, 16), torch.randn(1, 1, 16)

    def score(i, j):
        (turns,) = turns_of(rotary, i, j)
        return (rotate(query, turns[:1]) * rotate(key, turns[1:])).sum()

    torch.testing.assert_close(score(40, 33), score(9, 2), rtol=1e-4, atol=1e-4)


def test_casting_a_module_leaves_its_angles_exact():
    rotary = Rotary((FULL,))
    (exact,) = turns_of(rotary, 300)
    assert torch.equal(turns_of(rotary.bfloat16(), 300)[0], exact)


def test_a_position_turns_alike_in_tables_of_any_size():
    grown = Rotary((FULL,))
    turns_of(grown, 5), turns_of(grown, 1500), turns_of(grown, 5000)
    for position in (5, 1500, 2047, 4096):
        assert torch.equal(turns_of(grown, position)[0], turns_of(Rotary((FULL,)), position)[0])


def test_layers_that_turn_alike_share_a_table():
    assert Rotary((FULL, replace(FULL, rope_theta=1e4), FULL)).kind_of_layer == [0, 1, 0]


def test_the_mlp_gates_with_the_tanh_form_of_gelu():
    mlp = GatedMLP(1, 1)
    mlp.gate_up.weight.data = torch.tensor([[1.0], [2.0]])
    mlp.down.weight.data = torch.tensor([[3.0]])
    gelu = 0.5 * 1.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (1.5 + 0.044715 * 1.5**3)))
    assert mlp(torch.tensor([[1.5]])).item() == pytest.approx(gelu * 3.0 * 3.0, rel=1e-6)


def test_the_gradient_of_the_norm_is_that_of_its_formula():
    x = torch.randn(5, 7, requires_grad=True)
    weight = torch.randn(7)
    (wanted,) = torch.autograd.grad(((x * (x.square().mean(-1, keepdim=True) + 1e-3).rsqrt()) @ weight).sum(), x)
    (got,) = torch.autograd.grad((unit_rms(x, 1e-3) @ weight).sum(), x)
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(unit_rms(x, 1e-3), unit_rms(x.detach(), 1e-3))
