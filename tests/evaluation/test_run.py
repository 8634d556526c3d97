"""A task put to an engine: the figures are those of the questions asked one by one."""

import json
from dataclasses import replace

import pytest

import redraft
from redraft.config import SamplingParams
from redraft.evaluation.denoising import PROPORTIONS
from redraft.evaluation.run import evaluate, weights_digest, write_results
from redraft.evaluation.sudoku_task import SudokuTask

TASK = SudokuTask(levels=(30, 44))


@pytest.fixture(scope="module")
def engine():
    with redraft.load("redraft-sudoku") as engine:
        yield engine


@pytest.fixture(scope="module")
def results(engine):
    return evaluate(engine, TASK, SamplingParams(), count=3, seed=5)


def test_every_setting_has_the_replies_that_the_engine_gives_one_by_one(engine, results):
    for name, setting in TASK.settings(SamplingParams()).items():
        items = TASK.items(3, seed=5)
        replies = [engine.generate(item.prompt, replace(setting.params, seed=5 + i)) for i, item in enumerate(items)]
        alone = [TASK.grade(item, reply) for item, reply in zip(items, replies, strict=True)]
        figures = results["settings"][name]["figures"]["all"]
        assert figures["solved"]["successes"] == sum(row["solved"] for row in alone)
        assert figures["cells_right"]["mean"] == pytest.approx(sum(row["cells_right"] for row in alone) / 6)
        if figures["steps"] is not None:
            assert figures["steps"]["mean"] == pytest.approx(sum(row["steps"] for row in alone) / 6)
            assert figures["revoked_cells"]["mean"] == pytest.approx(sum(row["revoked_cells"] for row in alone) / 6)


def test_items_are_counted_in_their_level(results):
    curve = results["settings"]["refined"]["curve"]
    assert {level: row["solved"]["count"] for level, row in curve.items()} == {"30": 3, "44": 3}
    assert (results["level"], results["items"], results["count"], results["seed"]) == ("givens", 6, 3, 5)


def test_a_results_file_names_weights_device_versions_and_parameters(engine, results, tmp_path):
    write_results(results, tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(results))
    assert results["model"] == engine.label
    assert results["weights_sha256"] == weights_digest(engine.path)
    assert set(results["versions"]) == {"redraft", "torch", "python"}
    assert results["defaults"]["max_denoising_steps"] == engine.intake.defaults.max_denoising_steps
    assert results["settings"]["one step"]["params"]["max_denoising_steps"] == 1


def test_other_weights_have_another_digest(engine, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert weights_digest(tmp_path) != weights_digest(engine.path)


def test_cross_entropy_grows_with_noise_and_shrinks_with_self_conditioning(results):
    bare, conditioned = (
        {t: figure["mean"] for t, figure in noised["figures"]["all"].items()}
        for noised in results["denoising"].values()
    )
    assert list(bare) == [f"{t:g}" for t in PROPORTIONS]
    assert bare["0.1"] < bare["0.9"]
    assert conditioned["0.9"] < bare["0.9"]


def test_without_noised_items_there_is_no_cross_entropy(engine):
    few = SudokuTask(levels=(46,))
    assert "denoising" not in evaluate(engine, few, SamplingParams(), count=1, num_noised=0)
