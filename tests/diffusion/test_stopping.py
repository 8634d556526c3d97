import pytest
import torch

from redraft.diffusion.predict import Prediction
from redraft.diffusion.stopping import StableAndConfident


def make(best, entropy, free=None):
    return Prediction(
        entropy=torch.tensor(entropy),
        sample=torch.tensor(best),
        best=torch.tensor(best),
        signal=torch.zeros(len(best), 1),
        free=torch.ones(len(best), dtype=torch.bool) if free is None else torch.tensor(free),
        best_logprob=torch.zeros(len(best)),
    )


def history(*canvases):
    return [torch.tensor(canvas) for canvas in canvases]


def test_stops_when_the_argmax_repeats_and_the_mean_entropy_is_below_the_threshold():
    stop = StableAndConfident(stability=1, confidence=0.3)
    assert stop(history([1, 2]), make([1, 2], [0.2, 0.3]))


def test_confidence_is_strict():
    assert not StableAndConfident(1, 0.25)(history([1, 2]), make([1, 2], [0.25, 0.25]))


def test_an_unstable_argmax_does_not_stop_however_confident():
    assert not StableAndConfident(1, 0.3)(history([1, 3]), make([1, 2], [0.0, 0.0]))


def test_the_first_step_never_stops():
    assert not StableAndConfident(1, 0.3)([], make([1, 2], [0.0, 0.0]))


@pytest.mark.parametrize(
    ("canvases", "expected"),
    [
        ([[1, 2]], False),
        ([[1, 2], [1, 2]], False),
        ([[1, 2], [1, 2], [1, 2]], True),
        ([[1, 2], [0, 2], [1, 2]], False),
        ([[0, 0], [1, 2], [1, 2], [1, 2]], True),
    ],
)
def test_stability_wants_that_many_equal_earlier_argmaxes(canvases, expected):
    assert StableAndConfident(3, 1.0)(history(*canvases), make([1, 2], [0.0, 0.0])).item() is expected


def test_without_a_constraint_positions_after_a_stop_token_count():
    stop = StableAndConfident(1, 0.3)
    assert stop.mean_entropy(make([1, 9, 2], [0.0, 0.0, 3.0])) == pytest.approx(1.0)


def test_under_a_constraint_only_free_positions_before_the_first_stop_token_count():
    stop = StableAndConfident(1, 0.3, stop_ids=(9,))
    prediction = make([1, 2, 9, 9], [0.2, 4.0, 4.0, 4.0], free=[True, False, True, True])
    assert stop.mean_entropy(prediction) == pytest.approx(0.2)
    assert stop(history([1, 2, 9, 9]), prediction)
    assert not stop([], prediction)


@pytest.mark.parametrize(("best", "free"), [([1, 2], [False, False]), ([9, 2], [True, True]), ([1, 9], [False, True])])
def test_under_a_constraint_a_canvas_with_nothing_to_decide_is_done_at_once(best, free):
    stop = StableAndConfident(1, 0.3, stop_ids=(9,))
    assert stop([], make(best, [5.0, 5.0], free=free))
    assert stop.mean_entropy(make(best, [5.0, 5.0], free=free)) == 0


def test_under_a_constraint_without_stop_ids_all_free_positions_count():
    stop = StableAndConfident(1, 0.3, stop_ids=())
    assert stop.mean_entropy(make([1, 2], [1.0, 3.0], free=[False, True])) == pytest.approx(3.0)
