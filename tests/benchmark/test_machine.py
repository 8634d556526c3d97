import torch

from redraft import __version__
from redraft.benchmark import machine
from redraft.benchmark.machine import peak_memory, this_machine


def test_the_facts_of_this_machine_are_plausible():
    facts = this_machine()
    assert facts.device in ("cpu", "cuda")
    assert facts.num_cores >= 1
    assert facts.num_threads >= 1
    assert 0 < facts.memory_free <= facts.memory_total
    assert facts.versions["redraft"] == __version__
    assert facts.versions["torch"] == str(torch.__version__)


def test_a_containers_own_limit_counts(monkeypatch):
    files = {
        "/proc/meminfo": ["MemTotal: 9 kB", "MemAvailable:  8000000 kB"],
        "/sys/fs/cgroup/memory.max": ["2000000000"],
        "/sys/fs/cgroup/memory.current": ["500000000"],
    }
    monkeypatch.setattr(machine, "_lines", lambda file: files.get(file, []))
    assert machine._host_memory() == (1_500_000_000, 2_000_000_000)


def test_a_limit_of_max_is_none(monkeypatch):
    files = {"/proc/meminfo": ["MemAvailable:  1000 kB"], "/sys/fs/cgroup/memory.max": ["max"]}
    monkeypatch.setattr(machine, "_lines", lambda file: files.get(file, []))
    assert machine._host_memory()[0] == 1_024_000


def test_peak_memory_is_at_least_what_python_and_torch_take():
    assert peak_memory(torch.device("cpu")) > 50e6
