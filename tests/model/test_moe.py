import torch

from redraft.kernels.rows import unit_rms
from redraft.model.moe import Router


def test_chosen_weights_sum_to_one_before_each_experts_own_scale(make_config):
    router = Router(make_config()).requires_grad_(False)
    router.expert_scale.data = torch.tensor([2.0, 3.0, 5.0, 7.0])
    routing = router(torch.randn(9, 32))
    torch.testing.assert_close((routing.weights / router.expert_scale[routing.expert_ids]).sum(-1), torch.ones(9))


def test_the_most_probable_experts_are_chosen_over_a_softmax_of_all(make_config):
    routing = Router(make_config()).requires_grad_(False)(torch.randn(9, 32))
    torch.testing.assert_close(routing.probabilities.sum(-1), torch.ones(9))
    assert torch.equal(routing.probabilities.topk(2).indices, routing.expert_ids)


def test_the_router_scales_its_input_by_the_inverse_root_of_the_width(make_config):
    router, unit = Router(make_config()).requires_grad_(False), unit_rms(torch.randn(9, 32), 1e-6)
    router.scale.data.normal_()
    scores = (unit * router.scale / 32**0.5) @ router.proj.weight.T
    torch.testing.assert_close(router(unit).probabilities, scores.softmax(-1))


def test_experts_read_their_input_and_the_router_its_own(make_model):
    mixture, x, unit = make_model().layers[0].moe, torch.randn(9, 32), torch.randn(9, 32)
    assert torch.equal(mixture(x, unit)[1].expert_ids, mixture(torch.randn(9, 32), unit)[1].expert_ids)
    assert not torch.equal(mixture(x, unit)[0], mixture(x * 2, unit)[0])
