"""Learning rates and updates."""

import pytest
import torch
from torch import nn

from redraft.training.optimizer import Muon, OptimizerConfig, make_optimizers, orthogonalise


def test_learning_rate_warms_up_holds_and_decays_to_zero():
    config = OptimizerConfig(peak_lr=1.0, warmup=4, decay_from=10, decay=5)
    assert [config.lr(i) for i in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert [config.lr(i) for i in (9, 10, 12, 15, 99)] == pytest.approx([1.0, 1.0, 0.6, 0.0, 0.0])


def test_without_a_decay_the_rate_stays():
    assert OptimizerConfig(peak_lr=0.5, warmup=1).lr(10**9) == 0.5


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (3, 12, 30)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0))))
    assert values.min() > 0.5 and values.max() < 1.3


def test_stacked_matrices_are_orthogonalised_one_by_one():
    stack = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    together, alone = orthogonalise(stack), torch.stack([orthogonalise(matrix) for matrix in stack])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_muon_update_has_the_size_of_an_adamw_update():
    weight = nn.Parameter(torch.zeros(40, 60))
    weight.grad = torch.randn(40, 60, generator=torch.Generator().manual_seed(0)) * 1e-3
    Muon([weight], lr=0.1, momentum=0.95, weight_decay=0.0).step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.1 * 0.2, rel=0.2)


def test_muon_takes_the_matrices_inside_layers_and_adamw_every_other_parameter():
    model = nn.ModuleDict({"embedding": nn.Linear(4, 8, bias=False), "layer": nn.Linear(4, 4)})
    adamw, muon = make_optimizers(model, OptimizerConfig(muon=True))
    assert isinstance(muon, Muon)
    assert [p.shape for g in muon.param_groups for p in g["params"]] == [(4, 4)]
    assert sum(p.numel() for g in adamw.param_groups for p in g["params"]) == 32 + 4
    assert len(make_optimizers(model, OptimizerConfig())) == 1


def test_scalars_and_biases_are_not_decayed():
    model = nn.Linear(4, 4)
    (adamw,) = make_optimizers(model, OptimizerConfig(weight_decay=0.1))
    assert [(g["weight_decay"], [p.ndim for p in g["params"]]) for g in adamw.param_groups] == [(0.1, [2]), (0.0, [1])]
