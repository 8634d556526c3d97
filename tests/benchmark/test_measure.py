"""The benchmark on a tiny engine with random weights, so that every figure comes from a real run."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

import redraft
from redraft.benchmark import run as benchmark_run
from redraft.benchmark.breakdown import FUSED, clocked
from redraft.benchmark.cases import Case, case_of, random_config, write_random_model
from redraft.benchmark.fit import num_parameters
from redraft.benchmark.measure import canvas_seconds, delivery, paces, prefill_milliseconds, take_turns
from redraft.benchmark.run import run_benchmark, run_case
from redraft.benchmark.workload import Workload
from redraft.checkpoint.config import read_config
from redraft.checkpoint.save import save_model
from redraft.config import GenerationDefaults, LayerConfig, ModelConfig, SamplingParams
from redraft.errors import InvalidRequest
from redraft.model.transformer import random_model

SUDOKU = Path(redraft.__file__).parent / "models" / "redraft-sudoku"
PROMPTS = ("12.", "9.8", "...")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    rope = {"rope_theta": 100.0, "rope_fraction": 1.0}
    layers = (
        LayerConfig(is_sliding=True, num_kv_heads=2, head_dim=8, shares_kv=False, **rope),
        LayerConfig(is_sliding=False, num_kv_heads=1, head_dim=16, shares_kv=True, **rope),
    )
    config = ModelConfig(
        vocab_size=16,
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=16,
        num_experts=4,
        num_experts_per_token=2,
        num_heads=4,
        layers=layers,
        sliding_window=16,
        rms_norm_eps=1e-6,
        logit_softcap=30.0,
        canvas_length=8,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_ids=(1,),
    )
    directory = tmp_path_factory.mktemp("bench")
    save_model(
        random_model(config, seed=1), directory, generation=GenerationDefaults(max_tokens=16, max_denoising_steps=4)
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(SUDOKU / name, directory)
    with redraft.load(str(directory), device="cpu", dtype="float32") as engine:
        yield engine


def test_all_sides_take_turns_after_one_that_warms_up():
    asked = []

    def side(name, seconds):
        return lambda: asked.append(name) or seconds

    times = take_turns({"a": side("a", 6e-3), "b": side("b", 3e-3)}, num_steps=3, repeats=2)
    assert asked == ["a", "b"] * 3
    assert (times["a"].best, times["b"].median) == pytest.approx((2.0, 1.0))


def test_a_timed_canvas_runs_exactly_the_steps_that_were_asked_for(engine):
    assert canvas_seconds(engine, [4, 5, 6], num_steps=3) > 0
    assert canvas_seconds(engine, [4, 5, 6], num_steps=3, num_requests=2) > 0


def test_paces_end_with_left_to_right_decoding_by_the_same_weights(engine):
    paced = paces(engine, [4, 5, 6], steps=(1, 3), repeats=1)
    assert [pace.steps_per_canvas for pace in paced] == [1, 3, None]
    assert all(pace.one > 0 and pace.many > 0 for pace in paced)


def test_prefill_takes_time_and_leaves_no_trace(engine):
    assert prefill_milliseconds(engine, [4, 5, 6], repeats=2) > 0


def test_delivered_counts_are_the_sums_of_the_replies(engine):
    params = SamplingParams(seed=5, max_tokens=12, max_denoising_steps=4, ignore_eos=True)
    got = delivery(engine, PROMPTS, params)
    assert (got.num_prompts, got.tokens, got.canvases) == (3, 36, 6)
    assert got.denoising_steps <= 6 * 4
    assert got.tokens_per_forward == pytest.approx(36 / (got.denoising_steps + 3))  # one commit between two canvases
    assert got.tokens_per_second == pytest.approx(36 / got.seconds)
    assert got.first_commit_seconds > 0


def bench(engine, **changes):
    case = Case(name="tiny", model=str(engine.path), workload=Workload("cells", PROMPTS))
    options = {"command": "redraft bench", "num_steps": 2, "repeats": 1, "seed": 3, "against": False, "steps": (1, 2)}
    return run_benchmark([case], **{**options, **changes})


@pytest.fixture(scope="module")
def report(engine):
    return bench(engine)


def test_a_report_holds_what_is_needed_to_run_it_again(report):
    record = json.loads(report.to_json())
    assert (record["command"], record["seed"], record["num_steps"], record["repeats"]) == ("redraft bench", 3, 2, 1)
    assert {"redraft", "python", "torch"} <= record["machine"]["versions"].keys()
    (case,) = record["cases"]
    assert "(cpu, float32, " in case["model"]
    assert set(case["deliveries"]) == {"diffusion", "autoregressive"}
    assert case["peak_memory"] > 0
    assert "\n" not in report.to_json()


def test_the_tables_give_every_side_as_a_multiple_of_the_products(report):
    lines, steps = report.to_text().splitlines(), report.cases[0].steps
    assert next(line for line in lines if line.startswith("bare matrix products")).endswith("1.00x")
    for name, taken in steps.items():
        row = next(line for line in lines if line.startswith(name.replace("products", "bare matrix products") + "  "))
        assert float(row.split()[-1].removesuffix("x")) == pytest.approx(taken.best / steps["products"].best, abs=0.006)


def test_the_breakdown_names_every_component_that_has_products(report):
    (case,) = report.cases
    for components in case.breakdown.values():
        in_layers = {"projections", "experts"} if components.keys() >= set(FUSED) else set()
        assert case.floor_breakdown.keys() - in_layers < components.keys()
        assert all(milliseconds > 0 for milliseconds in components.values())


def test_a_clock_counts_nothing_twice_and_is_taken_off_again(engine):
    kernels, forward = engine.model.kernels, engine.model.layers[0].mlp.down.forward
    start = time.perf_counter()
    with clocked(engine) as clock:
        engine.generate("12.", SamplingParams(seed=0, max_denoising_steps=2))
    assert sum(clock.seconds.values()) <= time.perf_counter() - start
    assert engine.model.kernels is kernels
    assert engine.model.layers[0].mlp.down.forward == forward
    assert "run" not in vars(engine.runner) and "head" not in vars(engine.model)


def test_an_opponent_that_is_not_installed_is_named(engine, monkeypatch):
    monkeypatch.setattr(benchmark_run, "transformers_version", lambda: None)
    report = bench(engine, against=True)
    assert report.opponents == {"transformers": None}
    assert "transformers: not installed, not measured" in report.to_text()


def test_a_prompt_that_an_engine_would_remember_is_refused(engine):
    with pytest.raises(InvalidRequest, match=r"prompt of 30\d tokens: want fewer than 256"):
        run_case(
            Case(name="long", model=str(engine.path), workload=Workload("cells", ("." * 300,))),
            num_steps=1,
            repeats=1,
            seed=0,
            against=False,
            steps=(1,),
        )


@pytest.mark.slow
def test_transformers_takes_part_with_the_fastest_of_its_implementations(engine):
    (case,) = bench(engine, against=True).cases
    assert len(case.implementations) == 6
    fastest = min(case.implementations, key=case.implementations.get)
    assert f"transformers ({fastest})" in case.to_text()
    assert case.ratios["transformers over redraft fp32"] > 0


def test_random_models_of_a_seed_are_equal_and_can_be_loaded(tmp_path):
    config = replace(random_config(64), layers=random_config(64).layers[-1:], hidden_size=16, intermediate_size=16)
    first, second = (write_random_model(tmp_path / name, config, seed=4) for name in "ab")
    with redraft.load(str(first)) as one, redraft.load(str(second)) as other:
        assert one.generate("x = ", SamplingParams(seed=1)).text == other.generate("x = ", SamplingParams(seed=1)).text


def test_a_random_model_of_the_suite_is_a_case_by_itself(tmp_path):
    case = case_of("random-64", tmp_path, seed=1)
    assert (case.name, case.model, case.is_trained) == ("random-64", str(tmp_path / "random-64"), False)
    assert read_config(Path(case.model)).canvas_length == 64


def test_the_random_shape_has_22_6_million_parameters():
    assert num_parameters(random_config(64)) == pytest.approx(22.55e6, rel=1e-3)
