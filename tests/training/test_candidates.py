import dataclasses

import torch

from redraft.model.transformer import random_model
from redraft.training.candidates import Candidates
from redraft.training.copying import copying_start
from redraft.training.recipes import mini_model


def _model():
    return random_model(dataclasses.replace(mini_model(), vocab_size=512))


def _rows(model, generator, scale=1.0):
    hidden = scale * torch.randn(40, model.config.hidden_size, generator=generator)
    return hidden, torch.randint(512, (40,), generator=generator)


def test_scoring_all_ids_is_the_plain_loss():
    model, generator = _model(), torch.Generator().manual_seed(0)
    hidden, ids = _rows(model, generator)
    whole = Candidates(model, [ids], None, generator)
    same = Candidates(model, [ids], 512, generator)
    torch.testing.assert_close(same.loss(hidden, ids), whole.loss(hidden, ids))
    torch.testing.assert_close(same.soft(hidden), whole.soft(hidden))


def test_scoring_some_ids_estimates_the_plain_loss():
    model, generator = _model(), torch.Generator().manual_seed(0)
    hidden, ids = _rows(model, generator, scale=0.2)
    wanted = Candidates(model, [ids], None, generator).loss(hidden, ids)
    estimates = [Candidates(model, [ids], 256, generator).loss(hidden, ids) for _ in range(50)]
    torch.testing.assert_close(torch.stack(estimates).mean(), wanted, rtol=0.02, atol=0.0)


def test_ignored_rows_do_not_count():
    model, generator = _model(), torch.Generator().manual_seed(0)
    hidden, ids = _rows(model, generator)
    candidates = Candidates(model, [ids], 256, generator)
    some = ids.clone()
    some[::2] = -100
    torch.testing.assert_close(candidates.loss(hidden, some), candidates.loss(hidden[1::2], ids[1::2].contiguous()))


def test_a_copying_start_gives_back_what_a_head_reads():
    config = mini_model()
    weights = copying_start(config)
    for index, layer in enumerate(config.layers):
        values = weights[f"layers.{index}.attention.qkv.weight"][-layer.num_kv_heads * layer.head_dim :]
        out = weights[f"layers.{index}.attention.out.weight"]
        read = values.repeat_interleave(1, 0).view(layer.num_kv_heads, layer.head_dim, -1)
        repeated = read.repeat_interleave(config.num_heads // layer.num_kv_heads, dim=0).flatten(0, 1)
        carried = out @ repeated
        torch.testing.assert_close(carried, carried.T)
        assert torch.linalg.eigvalsh(carried).min() > -1e-5
