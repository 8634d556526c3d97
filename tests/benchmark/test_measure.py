"""The benchmark on a tiny engine with random weights, so that every figure comes from a real run."""

import json
import shutil
from pathlib import Path

import pytest

import redraft
from redraft.benchmark import run as benchmark_run
from redraft.benchmark.measure import delivery, prefill_milliseconds, step_times
from redraft.benchmark.run import run_benchmark
from redraft.benchmark.workload import Workload
from redraft.checkpoint.save import save_model
from redraft.config import GenerationDefaults, LayerConfig, ModelConfig, SamplingParams
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


class FakeOpponent:
    """Takes note of what it is asked and needs two milliseconds a step."""

    def __init__(self):
        self.asked = []

    def seconds(self, prompt_ids, num_steps):
        self.asked.append((tuple(prompt_ids), num_steps))
        return 2e-3 * num_steps


def test_all_sides_take_turns_with_the_same_prompt_and_steps(engine):
    opponent = FakeOpponent()
    times = step_times(engine, [4, 5, 6], num_steps=3, repeats=2, opponent=opponent)
    assert set(times) == {"redraft", "products", "transformers"}
    assert opponent.asked == [((4, 5, 6), 3)] * 3
    assert times["transformers"].best == pytest.approx(2.0)
    assert all(0 < time.best <= time.median for time in times.values())


def test_without_an_opponent_two_sides_are_timed(engine):
    assert set(step_times(engine, [4, 5], 2, 1, None)) == {"redraft", "products"}


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


@pytest.fixture(scope="module")
def report(engine):
    workload = Workload("cells", PROMPTS)
    return run_benchmark(engine, workload, command="redraft bench", num_steps=2, repeats=1, seed=3, against=False)


def test_a_report_holds_what_is_needed_to_run_it_again(report):
    record = json.loads(report.to_json())
    assert (record["command"], record["seed"], record["num_steps"], record["repeats"]) == ("redraft bench", 3, 2, 1)
    assert {"redraft", "python", "torch"} <= record["machine"]["versions"].keys()
    assert record["model"].endswith("(cpu, float32, native)") or record["model"].endswith("(cpu, float32, plain torch)")
    assert set(record["deliveries"]) == {"diffusion", "autoregressive"}
    assert record["peak_memory"] > 0
    assert "\n" not in report.to_json()


def test_the_table_gives_every_side_as_a_multiple_of_the_products(report):
    lines = report.to_text().splitlines()
    products = next(line for line in lines if line.startswith("bare matrix products"))
    assert products.endswith("1.00x")
    ours = next(line for line in lines if line.startswith("redraft "))
    assert float(ours.split()[-1].removesuffix("x")) == pytest.approx(
        report.steps["redraft"].best / report.steps["products"].best, abs=0.006
    )
    assert "autoregressive" in report.to_text()


def test_an_opponent_that_is_not_installed_is_named(engine, monkeypatch):
    monkeypatch.setattr(benchmark_run, "has_transformers", lambda: False)
    workload = Workload("cells", PROMPTS[:1])
    report = run_benchmark(engine, workload, command="x", num_steps=1, repeats=1, seed=0, against=True)
    assert report.opponents == {"transformers": None}
    assert "transformers: not installed, not measured" in report.to_text()


@pytest.mark.slow
def test_transformers_runs_the_same_number_of_steps_on_the_same_checkpoint(engine):
    from redraft.benchmark.opponents import Transformers

    assert Transformers(engine.path, "float32", "cpu").seconds([4, 5, 6], 3) > 0
