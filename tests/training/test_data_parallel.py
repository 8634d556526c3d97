"""Two processes of `redraft train` on one run: what one process computes, and one set of files."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from redraft.errors import InvalidRequest
from redraft.training.checkpoints import load_average
from redraft.training.data_parallel import DataParallel
from redraft.training.recipes import sudoku
from redraft.training.sudoku import save_paths
from redraft.training.trainer import Trainer

RECIPES = """
from dataclasses import replace
from redraft.training.recipes import sudoku

def endless(data, seed):
    return replace(sudoku(data, seed), batch_size=2, accumulate=2, compile=False, log_every=1)

def short(data, seed):
    return replace(endless(data, seed), updates=4)

def spoiled(data, seed):
    return replace(short(data, seed), objective=replace(short(data, seed).objective, autoregressive=float("nan")))
"""


@pytest.fixture
def data(tmp_path) -> Path:
    save_paths(tmp_path / "paths.npz", 8, 0)
    return tmp_path / "paths.npz"


@pytest.fixture
def launch(tmp_path, data):
    """Starts both processes of `redraft train RECIPE`, as torchrun would."""
    (tmp_path / "recipes.py").write_text(RECIPES)
    started = []

    def both(name: str) -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        options = [f"{tmp_path}/recipes.py:{name}", "--data", str(data), "--out", str(tmp_path / "run")]
        command = [sys.executable, "-c", "from redraft.cli import main; main()", "train", *options]
        for rank in "01":
            place = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            environment = {**os.environ, **place, "OMP_NUM_THREADS": "1"}
            started.append(
                subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            )
        return started

    yield both
    for process in started:
        process.kill()


def losses(folder: Path) -> list[tuple[int, float]]:
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [(row["update"], row["denoise"]) for row in rows]


def test_two_processes_give_the_losses_and_weights_of_one(tmp_path, data, launch):
    first, second = ((*process.communicate(timeout=120), process.returncode) for process in launch("short"))
    assert first[2] == second[2] == 0, first[1] + second[1]
    assert "stopped at update 4" in first[1]
    assert second[:2] == ("", ""), "the second says nothing"
    config = replace(sudoku(data), batch_size=2, accumulate=2, compile=False, log_every=1)
    torch.set_num_threads(1)
    Trainer(config, tmp_path / "alone").run(until=4)
    assert losses(tmp_path / "run") == losses(tmp_path / "alone")
    shared, alone = load_average(tmp_path / "run"), load_average(tmp_path / "alone")
    assert all(torch.equal(shared[name], alone[name]) for name in alone)


def test_what_stops_the_first_stops_both_with_one_checkpoint(tmp_path, launch):
    processes = launch("endless")
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        process.send_signal(signal.SIGINT)
    for process in processes:
        assert process.wait(timeout=60) == 0, process.stderr.read()
    (path,) = (tmp_path / "run").glob("*.pt")
    assert int(path.stem[-8:]) == losses(tmp_path / "run")[-1][0]


def test_a_number_that_is_none_ends_both_processes(launch):
    for process in launch("spoiled"):
        _, error = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "gradient norm=nan at update 0: want a number" in error


def test_every_batch_is_of_one_process():
    shares = [DataParallel(rank, 3).batches(range(12, 18)) for rank in range(3)]
    assert sorted(index for share in shares for index in share) == list(range(12, 18))


def test_runs_that_cannot_be_shared_are_refused(data):
    pair, config = DataParallel(1, 2), sudoku(data)
    with pytest.raises(InvalidRequest, match="accumulate=1: want a multiple of 2"):
        pair.check(config)
    with pytest.raises(InvalidRequest, match="device='cuda': want one process"):
        pair.check(replace(config, accumulate=2, device="cuda"))
    pair.check(replace(config, accumulate=2, device="cpu"))
    DataParallel().check(replace(config, device="cuda"))
