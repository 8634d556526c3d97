import pytest
import torch

from redraft.kernels.classes import (
    SetTable,
    add_offsets,
    best_tokens,
    class_posterior,
    class_statistics,
    class_table,
    drawn_tokens,
    set_log_masses,
    set_maxima,
)

CLASSES = [[1, 4, 9], [2], [0, 3, 5, 6]]  # ids 7 and 8 are in none


@pytest.fixture
def table():
    return class_table(torch.tensor([i for ids in CLASSES for i in ids]), torch.tensor([len(ids) for ids in CLASSES]))


@pytest.fixture
def logits():
    return torch.randn(6, 10, generator=torch.Generator().manual_seed(0)) * 5


@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.0])
def test_statistics_are_those_of_each_classs_own_logits(table, logits, temperature):
    stats = class_statistics(logits, table, temperature)
    for k, ids in enumerate(CLASSES):
        own = logits[:, ids].double()
        p = own.softmax(-1)
        assert torch.equal(stats.best[k], logits[:, ids].amax(-1))
        assert torch.allclose(stats.log_mass[k], own.logsumexp(-1), atol=1e-6)
        assert torch.allclose(stats.entropy[k], torch.special.entr(p).sum(-1), atol=1e-5)
        assert torch.allclose(stats.draw_log_mass[k], (own / temperature).logsumexp(-1), atol=1e-5)


def test_sums_over_large_classes_stay_exact():
    logits = torch.randn(4, 40_000, generator=torch.Generator().manual_seed(0))
    tokens = torch.cat([torch.arange(0, 40_000, 2), torch.arange(1, 40_000, 2)])
    stats = class_statistics(logits, class_table(tokens, torch.tensor([20_000, 0, 20_000])))
    for k, own in ((0, logits[:, 0::2].double()), (2, logits[:, 1::2].double())):
        p = own.softmax(-1)
        assert torch.allclose(stats.log_mass[k], own.logsumexp(-1), atol=2e-6, rtol=0)
        assert torch.allclose(stats.entropy[k], torch.special.entr(p).sum(-1), atol=5e-6, rtol=0)


def test_a_single_token_has_no_entropy_and_an_empty_class_no_mass(table, logits):
    stats = class_statistics(logits, table.only(torch.tensor([4, 0])))
    assert stats.entropy.abs().max() == 0
    assert stats.best[1].tolist() == [-torch.inf] * 6 and stats.log_mass[1].tolist() == [-torch.inf] * 6
    assert torch.equal(stats.best[0], logits[:, 4])


def test_minus_infinity_inside_a_class_costs_nothing(table, logits):
    logits[:, 4] = -torch.inf
    stats = class_statistics(logits, table)
    assert torch.allclose(stats.log_mass[0], logits[:, [1, 9]].double().logsumexp(-1), atol=1e-6)
    assert torch.isfinite(stats.entropy).all()


def test_best_and_drawn_tokens_come_from_the_listed_ids(table, logits):
    ids, rows = torch.tensor(CLASSES[2]), torch.tensor([0, 2, 5])
    logits[2, [3, 5]] = 40.0
    assert best_tokens(logits, rows, ids).tolist() == [CLASSES[2][i] for i in logits[rows][:, ids].argmax(-1)]
    assert best_tokens(logits, rows, ids)[1] == 3
    uniforms = torch.tensor([0.0, 0.1, 0.3, 0.5, 0.7, 1 - 2**-24])
    drawn = drawn_tokens(logits, rows, ids, uniforms, 0.8)
    for row, token in zip(rows.tolist(), drawn.tolist(), strict=True):
        cumulative = (logits[row, ids].double() / 0.8).softmax(-1).cumsum(-1)
        assert token == CLASSES[2][int((cumulative > uniforms[row]).nonzero()[0])]


def test_offsets_reach_their_classes_and_the_last_one_the_rest(logits):
    class_of_id = torch.tensor([2, 0, 1, 2, 0, 2, 2, 3, 3, 0])
    offsets = torch.tensor([[1.0, 2.0, 3.0, -torch.inf]] * 6)
    before = logits.clone()
    add_offsets(logits, offsets, class_of_id)
    assert torch.equal(logits, before + offsets[:, class_of_id])


@pytest.mark.parametrize("spread", [1.0, 400.0])
def test_sets_sum_and_share_their_classes(spread):
    sets = [[0, 1], [1, 2], [2]]
    table = SetTable(
        classes=torch.tensor([0, 1, 1, 2, 2]),
        sets=torch.tensor([0, 0, 1, 1, 2]),
        first=torch.tensor([0, 2, 4]),
        by_class=torch.tensor([0, 0, 1, 1, 2]),
        by_class_first=torch.tensor([0, 1, 3]),
    )
    log_mass = torch.randn(3, 5, generator=torch.Generator().manual_seed(1)).double() * spread
    log_mass -= log_mass.amax(0)
    masses = set_log_masses(log_mass, table)
    expected = torch.stack([log_mass[classes].logsumexp(0) for classes in sets])
    assert torch.allclose(masses, expected)
    assert torch.equal(set_maxima(log_mass, table), torch.stack([log_mass[classes].amax(0) for classes in sets]))
    taken = torch.rand(3, 5, generator=torch.Generator().manual_seed(2)).double()
    taken /= taken.sum(0)
    posterior = torch.zeros(3, 5).double()
    for k, classes in enumerate(sets):
        posterior[classes] += taken[k] * (log_mass[classes] - expected[k]).exp()
    assert torch.allclose(class_posterior(log_mass, masses, taken, table), posterior)
