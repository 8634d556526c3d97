import pytest
import torch

from redraft.diffusion.commit import CommitBest, cut_after_stop
from redraft.diffusion.predict import Prediction


def make(best, sample):
    return Prediction(
        entropy=torch.zeros(len(best)),
        sample=torch.tensor(sample),
        best=torch.tensor(best),
        signal=torch.zeros(len(best), 1),
        free=torch.ones(len(best), dtype=torch.bool),
        best_logprob=torch.zeros(len(best)),
    )


def test_the_best_canvas_is_committed_and_never_the_draw():
    assert CommitBest(stop_ids=(9,))(make([1, 2, 3], sample=[4, 5, 6])) == [1, 2, 3]


def test_the_first_stop_token_is_kept_and_what_follows_is_not():
    assert CommitBest(stop_ids=(9, 8))(make([1, 8, 3, 9], sample=[9, 9, 9, 9])) == [1, 8]


@pytest.mark.parametrize("ids", [[], [1, 2]])
def test_nothing_is_cut_without_a_stop_token(ids):
    assert cut_after_stop(ids, (9,)) == ids
