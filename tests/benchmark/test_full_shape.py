"""The GPU's benchmark on a CPU with a tiny shape: the same path, device and shape apart."""

import json

import pytest
import torch

from redraft.benchmark import full_shape
from redraft.benchmark.fit import released_config
from redraft.benchmark.full_shape import Figures, bytes_per_step, main, make_model, measure, tiny_config
from redraft.errors import OutOfMemory


@pytest.fixture(scope="module")
def model():
    return make_model(tiny_config(), torch.device("cpu"))


def test_a_measurement_times_prefill_steps_and_commits(model):
    figures = measure(model, context=300, batch=2, num_steps=3)
    assert (figures.context, figures.batch) == (300, 2)
    assert min(figures.prefill_ms, figures.step_ms, figures.commit_ms, figures.peak_memory) > 0
    assert figures.gigabytes_per_second == pytest.approx(figures.bytes_per_step / figures.step_ms / 1e6)


def test_engine_steps_are_sorted_by_what_they_did(model, monkeypatch):
    taken = {}
    run_through = full_shape.run_through
    monkeypatch.setattr(full_shape, "run_through", lambda *given: taken.update(run_through(*given)) or taken)
    measure(model, context=300, batch=2, num_steps=3)
    assert {phase.value: len(times) for phase, times in taken.items()} == {
        "prefilling": 2,  # 256 tokens and 44
        "denoising": 9,  # three canvases of three steps
        "appending": 2,  # the last canvas is not
    }


def test_the_bytes_of_a_step_of_the_full_shape_are_its_weights_and_what_it_sees():
    weights = 25.25e9 + 0.738e9  # parameters, and the table once more
    keys_and_values = 25 * (1023 + 256) * 2 * 8 * 256 + 5 * (8192 + 256) * 2 * 2 * 512
    assert bytes_per_step(released_config(), 8192, 4) == pytest.approx(2 * (weights + 4 * keys_and_values), rel=1e-3)


def test_the_command_writes_every_figure_with_device_versions_and_itself(tmp_path, capsys):
    out = tmp_path / "results" / "tiny.json"
    arguments = ["--device", "cpu", "--shape", "tiny", "--context", "20", "40", "--batch", "1", "2", "--steps", "2"]
    main([*arguments, "--out", str(out)])
    written = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == written
    assert written["command"].startswith("python -m redraft.benchmark.full_shape --device cpu --shape tiny")
    assert {"torch", "python", "redraft"} <= written["machine"]["versions"].keys()
    assert [(one["context"], one["batch"]) for one in written["figures"]] == [(20, 1), (20, 2), (40, 1), (40, 2)]
    assert all(Figures(**one).step_ms > 0 for one in written["figures"])


def test_a_gpu_that_is_too_small_is_refused_with_the_numbers(monkeypatch):
    class Small:
        total_memory = 24 * 10**9

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Small)
    with pytest.raises(OutOfMemory, match=r"24,000,000,000 bytes: want 50,\d{3},\d{3},\d{3} for weights"):
        make_model(released_config(), torch.device("cuda"))
