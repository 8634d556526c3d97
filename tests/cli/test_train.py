"""The commands on a scripted trainer; the real one has its own tests."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from redraft.cli import train as train_module
from redraft.cli import training as training_module
from redraft.training import catalog, metrics, plan, plots, recipes
from redraft.training import run as training
from redraft.training.data_parallel import DataParallel


@pytest.fixture
def calls(monkeypatch):
    config = SimpleNamespace(name="redraft-x", lora=None, base=None)
    trainer = SimpleNamespace(update=40, config=config, folder=Path("folder"), parallel=DataParallel())
    made = SimpleNamespace(trainer=trainer, asked=[], started=[], ran=[], wrote=[], changes={})
    recipe = SimpleNamespace(
        config=lambda *a: made.asked.append(a) or "config", make_config=lambda *a: made.asked.append(("plan", *a))
    )
    monkeypatch.setattr(catalog, "find", lambda name: made.asked.append(name) or recipe)
    monkeypatch.setattr(catalog, "changed", lambda config, changes: made.changes.update(changes) or config)
    monkeypatch.setattr(recipes, "finetune", lambda *a, **k: made.asked.append((a, k)) or "config")
    monkeypatch.setattr(training, "start", lambda *a, **k: made.started.append((a, k)) or trainer)
    for module, name in ((training, "export"), (training, "save_adapter"), (plots, "plot_metrics")):
        monkeypatch.setattr(module, name, lambda *a, name=name: made.wrote.append((name, *a)) or a[-1])
    monkeypatch.setattr(plan, "describe", lambda config: ["so much", "so long"])

    def run(trainer, seconds, report):
        made.ran.append(seconds)
        for _ in range(3):
            report("progress")
        trainer.update = 70

    monkeypatch.setattr(training, "run", run)
    monkeypatch.setattr(metrics, "progress_line", str)
    return made


def test_options_reach_the_run_and_its_ends_are_said(calls, run):
    done = run("train", "sudoku", "--out", "folder", "--seed", "3", "--seconds", "5", "--decay", "9", "--weights", "w")
    assert done.exit_code == 0, done.stderr
    assert calls.asked == ["sudoku", ("folder", None, 3)]
    assert calls.started == [(("folder", "config"), {"decay": 9, "weights": "w", "parallel": DataParallel()})]
    assert calls.ran == [5.0]
    assert done.stderr.splitlines() == [
        "preparing sudoku: making its data takes minutes where there is none",
        "redraft-x in folder, from update 40",
        "stopped at update 70; the checkpoint is in folder",
    ]
    assert calls.wrote == []


def test_fields_are_set_by_name_as_json_where_they_are(calls, run):
    run(
        "train",
        "mini",
        "--out",
        "folder",
        "--set",
        "batch_size=16",
        "--set",
        "optimizer.peak_lr=0.01",
        "--set",
        "name=x",
        "--device",
        "cpu",
    )
    assert calls.changes == {"batch_size": 16, "optimizer.peak_lr": 0.01, "name": "x", "device": "cpu"}
    done = run("train", "mini", "--out", "folder", "--set", "batch_size")
    assert done.exit_code == 2 and "want FIELD=VALUE" in done.stderr


def test_a_dry_run_prints_the_plan_and_makes_and_starts_nothing(calls, run):
    done = run("train", "mini-full-1", "--out", "folder", "--dry-run")
    assert done.stdout == "so much\nso long\n"
    assert calls.asked == ["mini-full-1", ("plan", None, 0)] and calls.started == []


def test_a_function_of_a_file_is_a_recipe_too(calls, run):
    assert run("train", "own.py:small", "--out", "folder").exit_code == 0
    assert calls.asked[0] == "own.py:small"


def test_piped_progress_is_a_line_a_minute(calls, run, monkeypatch):
    now = iter([1000.0, 1000.0, 1030.0, 1060.0, 1060.0])
    monkeypatch.setattr(training_module.time, "monotonic", lambda: next(now))
    assert run("train", "sudoku", "--out", "folder").stdout == "progress\nprogress\n"


def test_model_and_curves_are_written_when_the_run_ends(calls, run):
    done = run("train", "sudoku", "--out", "folder", "--export", "model", "--curves", "run.png")
    config, folder = calls.trainer.config, Path("folder")
    assert calls.wrote == [("export", config, folder, "model"), ("plot_metrics", folder, "run.png")]
    assert done.stderr.splitlines()[-2:] == [
        "exported to model: try redraft generate -m model",
        "curves are in run.png",
    ]


def test_an_adapter_is_an_option_of_every_command_that_loads_a_model(engine, run):
    assert run("generate", "hi", "-m", "redraft-mini", "--adapter", "folder/adapter").exit_code == 0
    assert engine.loaded == [("redraft-mini", {"adapter": "folder/adapter"})]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("{}")
    return str(path)


def test_finetuning_trains_an_adapter_and_says_how_to_use_it(calls, run, data):
    calls.trainer.config.lora, calls.trainer.config.base = "lora", "redraft-mini"
    done = run(
        "train",
        "finetune",
        "-m",
        "redraft-mini",
        "--data",
        data,
        "--out",
        "folder",
        "--adapt",
        "attention,experts",
        "--rank",
        "4",
    )
    assert done.exit_code == 0, done.stderr
    ((where, seed), options) = calls.asked[0]
    lora = options.pop("lora")
    assert (where, seed, lora.rank, lora.alpha, lora.targets) == (data, 0, 4, 8.0, ("attention", "experts"))
    assert options == {
        "model": "redraft-mini",
        "epochs": 3.0,
        "peak_lr": 3e-4,
        "batch_size": 16,
        "accumulate": 1,
        "recompute": False,
        "device": "auto",
    }
    assert calls.wrote == [("save_adapter", calls.trainer.config, Path("folder"), Path("folder/adapter"))]
    assert done.stderr.splitlines()[-1].endswith("try redraft generate -m redraft-mini --adapter folder/adapter")


def test_finetuning_all_weights_has_no_adapter(calls, run, data):
    assert run("train", "finetune", "--data", data, "--out", "folder", "--full").exit_code == 0
    assert calls.asked[0][1]["lora"] is None and calls.wrote == []
    done = run("train", "finetune", "--data", data, "--out", "folder", "--full", "--rank", "4")
    assert done.exit_code == 2 and "--rank with --full" in done.stderr


def test_the_parts_that_can_be_adapted_are_those_of_the_adapter():
    from redraft.cli import finetune
    from redraft.training import lora

    assert tuple(lora.TARGETS) == finetune.TARGETS


def test_the_recipes_of_the_help_are_those_there_are():
    assert {name for name in train_module.RECIPES if ":" not in name} == set(catalog.RECIPES)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sudoku"],
        ["chess", "--out", "x"],
        ["sudoku", "--out", "x", "--decay", "0"],
        ["finetune", "--out", "x"],
        ["finetune", "--out", "x", "--data", "nowhere.jsonl"],
    ],
)
def test_wrong_arguments_start_nothing(calls, run, arguments):
    assert run("train", *arguments).exit_code == 2
    assert calls.started == []
