import pytest
import torch

from redraft.kernels.attention import attend_fused, attend_plain

SHAPES = [(1, 5, 4, 2, 8, 9), (3, 4, 4, 1, 16, 4), (2, 1, 2, 2, 8, 6)]  # B L N G H S


def problem(B, L, N, G, H, S, dtype=torch.float32):
    torch.manual_seed(B * S)
    return tuple(torch.randn(B, rows, heads, H).to(dtype) for rows, heads in ((L, N), (S, G), (S, G)))


def by_hand(queries, keys, values, mask=None):
    out = torch.zeros_like(queries)
    share = queries.shape[2] // keys.shape[2]
    for b, i, n in torch.cartesian_prod(*map(torch.arange, queries.shape[:3])).tolist():
        scores = keys[b, :, n // share] @ queries[b, i, n]
        if mask is not None:
            scores[~mask[i]] = -torch.inf
        out[b, i, n] = scores.softmax(-1) @ values[b, :, n // share]
    return out


@pytest.mark.parametrize("kernel", [attend_plain, attend_fused])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_are_mixed_by_unscaled_scores_in_groups_of_heads(kernel, shape):
    arguments = problem(*shape)
    torch.testing.assert_close(kernel(*arguments), by_hand(*arguments))


@pytest.mark.parametrize("kernel", [attend_plain, attend_fused])
@pytest.mark.parametrize("shape", SHAPES)
def test_masked_keys_take_no_part(kernel, shape):
    arguments = problem(*shape)
    mask = torch.rand(shape[1], shape[5]) < 0.6
    mask[:, -1] = True
    torch.testing.assert_close(kernel(*arguments, mask), by_hand(*arguments, mask))


def test_the_fused_kernel_equals_the_plain_one_in_bf16():
    arguments = problem(2, 7, 4, 2, 16, 11, torch.bfloat16)
    torch.testing.assert_close(attend_fused(*arguments), attend_plain(*arguments), rtol=0, atol=0.06)
