import math

import pytest
import torch

from redraft.model.embedding import TiedEmbedding


@pytest.fixture
def embedding():
    made = TiedEmbedding(5, 3, 10.0)
    torch.manual_seed(0)
    torch.nn.init.normal_(made.weight, std=4.0)
    return made.requires_grad_(False)


def test_rows_are_scaled_by_the_root_of_the_width(embedding):
    torch.testing.assert_close(embedding(torch.tensor([4, 0])), embedding.weight[[4, 0]] * math.sqrt(3))


def test_the_scale_is_rounded_to_the_dtype_of_the_table():
    assert TiedEmbedding(1, 2816, 30.0).bfloat16().scale == 53.0


def test_logits_are_fp32_and_stay_within_the_cap(embedding):
    logits = embedding.bfloat16().logits(torch.randn(7, 3).bfloat16() * 100)
    assert logits.dtype == torch.float32
    assert logits.abs().max() <= 10.0


def test_logits_are_the_capped_scores_of_the_same_table(embedding):
    hidden = torch.randn(7, 3)
    torch.testing.assert_close(embedding.logits(hidden), 10 * torch.tanh(hidden @ embedding.weight.T / 10))


def test_the_soft_embedding_of_a_certain_prediction_is_that_embedding(embedding):
    certain = torch.full((1, 5), -1e9)
    certain[0, 2] = 0
    torch.testing.assert_close(embedding.soft(certain), embedding(torch.tensor([2])))


def test_the_soft_embedding_of_zero_logits_is_the_mean_and_not_zero(embedding):
    torch.testing.assert_close(embedding.soft(torch.zeros(1, 5)), embedding.weight.mean(0, keepdim=True) * math.sqrt(3))
