import pytest
import torch

from redraft.kernels import moe
from redraft.kernels.moe import experts, experts_dense, experts_grouped, experts_plain, experts_ragged

INVARIANT = [experts_plain, experts_dense, experts_grouped]  # a row does not depend on its company
KERNELS = [*INVARIANT, experts_ragged]


def problem(num_rows, num_experts, num_chosen, size=24, hidden=16, dtype=torch.float32):
    generator = torch.Generator().manual_seed(num_rows)
    random = lambda *shape: torch.randn(*shape, generator=generator).to(dtype)  # noqa: E731
    weights, expert_ids = torch.rand(num_rows, num_experts, generator=generator).topk(num_chosen)
    gate_up, down = random(num_experts, 2 * hidden, size) * size**-0.5, random(num_experts, hidden, size) * hidden**-0.5
    return random(num_rows, size), expert_ids, weights.to(dtype), gate_up, down


def by_hand(x, expert_ids, weights, gate_up, down):
    rows = []
    for row, ids, shares in zip(x, expert_ids, weights, strict=True):
        total = torch.zeros_like(row)
        for expert, share in zip(ids.tolist(), shares, strict=True):
            gate, up = (gate_up[expert] @ row).chunk(2)
            total += share * (torch.nn.functional.gelu(gate, approximate="tanh") * up) @ down[expert]
        rows.append(total)
    return torch.stack(rows)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(40, 4, 2), (7, 8, 1), (1, 4, 3), (130, 2, 2), (33, 16, 5)])
def test_rows_get_the_weighted_sum_of_their_experts(kernel, shape):
    arguments = problem(*shape)
    torch.testing.assert_close(kernel(*arguments), by_hand(*arguments))


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_expert_nobody_chose_takes_no_part(kernel):
    x, _, weights, gate_up, down = problem(20, 4, 2)
    expert_ids = torch.tensor([[1, 3]]).expand(20, 2)
    down[0], down[2] = 1e9, 1e9
    torch.testing.assert_close(
        kernel(x, expert_ids, weights, gate_up, down), by_hand(x, expert_ids, weights, gate_up, down)
    )


@pytest.mark.parametrize("kernel", INVARIANT)
def test_a_row_does_not_depend_on_its_company(kernel):
    x, expert_ids, weights, gate_up, down = problem(200, 8, 2, size=96, hidden=48)
    whole = kernel(x, expert_ids, weights, gate_up, down)
    for rows in (slice(0, 32), slice(50, 114), slice(7, 200)):
        assert torch.equal(kernel(x[rows], expert_ids[rows], weights[rows], gate_up, down), whole[rows])


@pytest.mark.parametrize("kernel", KERNELS)
def test_bf16_stays_bf16(kernel):
    arguments = problem(40, 4, 2, dtype=torch.bfloat16)
    out = kernel(*arguments)
    assert out.dtype == torch.bfloat16
    exact = by_hand(*(a.float() if a.is_floating_point() else a for a in arguments))
    torch.testing.assert_close(out.float(), exact, rtol=0, atol=0.05)


@pytest.mark.parametrize("kernel", [experts_plain, experts_dense])
def test_gradients_equal_those_written_by_hand(kernel):
    x, expert_ids, weights, gate_up, down = problem(12, 4, 2)
    leaves = [tensor.requires_grad_() for tensor in (x, weights, gate_up, down)]
    wanted = torch.autograd.grad(by_hand(x, expert_ids, weights, gate_up, down).square().sum(), leaves)
    got = torch.autograd.grad(kernel(x, expert_ids, weights, gate_up, down).square().sum(), leaves)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("shape", "wanted"), [((32, 24), "experts_dense"), ((384, 192), "experts_grouped")], ids=["small", "large"]
)
def test_small_experts_all_run_and_large_ones_are_sorted(monkeypatch, shape, wanted):
    ran = []
    for name in ("experts_dense", "experts_grouped"):
        monkeypatch.setattr(moe, name, lambda x, *_, name=name: ran.append(name) or x)
    experts(*problem(3, 8, 2, *shape))
    assert ran == [wanted]
