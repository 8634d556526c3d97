import pytest

from redraft.errors import InvalidRequest
from redraft.evaluation.plots import plot

pytest.importorskip("matplotlib", reason="needs the extra `train`")


def rate(share):
    return {"solved": {"successes": 1, "count": 2, "share": share, "interval": [share / 2, share]}}


def results(task="sudoku", **more):
    setting = {"params": {}, "figures": {"all": rate(0.5)}, "curve": {"24": rate(0.2), "46": rate(0.9)}}
    return {"task": task, "model": "m", "level": "givens", "settings": {"refined": setting}, **more}


def loss(value):
    return {"figures": {"all": {"0.1": {"mean": value}, "0.9": {"mean": 2 * value}}}}


def swept():
    pairs = [(bound, cap) for bound in (0.1, 1.0) for cap in (1, 16)]
    settings = {
        str(pair): {
            "params": {"entropy_bound": pair[0], "max_denoising_steps": pair[1]},
            "figures": {"all": rate(0.5)},
        }
        for pair in pairs
    }
    return {"task": "sampler", "model": "m", "level": "givens", "settings": settings}


@pytest.mark.parametrize(
    "given",
    [
        [results()],
        [swept()],
        [results("forms", level=None, denoising={"without": loss(1.0), "self-conditioned": loss(0.5)})],
        [results(trained_on=200), results(trained_on=100)],
    ],
)
def test_each_kind_of_results_is_drawn(given, tmp_path):
    path = plot(given, tmp_path / "curve.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_results_that_do_not_go_together_are_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="one task"):
        plot([results(trained_on=1), results("forms", trained_on=2)], tmp_path / "x.png")
    with pytest.raises(InvalidRequest, match="trained_on"):
        plot([results(trained_on=1), results()], tmp_path / "x.png")


def test_results_without_a_curve_are_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="no curve"):
        plot([results("forms", level=None)], tmp_path / "x.png")
