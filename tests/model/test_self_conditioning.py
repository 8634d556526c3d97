import torch

from redraft.model.self_conditioning import SelfConditioning


def made():
    torch.manual_seed(0)
    return SelfConditioning(6, 10, 1e-6).requires_grad_(False)


def test_a_zero_signal_equals_no_signal_exactly():
    module, rows = made(), torch.randn(4, 6)
    assert torch.equal(module(rows, torch.zeros(4, 6)), module(rows))


def test_rows_are_normalised_without_a_signal_too():
    rows = made()(torch.randn(4, 6) * 50)
    torch.testing.assert_close(rows.square().mean(-1), torch.ones(4))


def test_a_signal_changes_its_own_row_only():
    module, rows, signal = made(), torch.randn(4, 6), torch.zeros(4, 6)
    signal[2] = torch.randn(6)
    changed = (module(rows, signal) != module(rows)).any(-1)
    assert changed.tolist() == [False, False, True, False]
