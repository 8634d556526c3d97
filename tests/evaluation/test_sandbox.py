"""Programs that nobody has read: what they may do, and what ends them."""

import subprocess
import time

import pytest

from redraft.evaluation.sandbox import Limits, is_cut_off, passes

needs_namespaces = pytest.mark.skipif(not is_cut_off(), reason="no user namespaces here")


def test_a_program_passes_that_runs_to_its_end_without_an_error():
    assert passes("assert 1 + 1 == 2")
    assert not passes("assert 1 + 1 == 3")
    assert not passes("def broken(:")


@pytest.mark.parametrize("early", ["import sys; sys.exit(0)", "import os; os._exit(0)", "raise SystemExit"])
def test_an_early_exit_is_no_pass(early):
    assert not passes(early)


def test_an_endless_program_is_ended():
    started = time.monotonic()
    assert not passes("while True: pass", Limits(seconds=0.5))
    assert not passes("import time; time.sleep(60)", Limits(seconds=0.5))
    assert time.monotonic() - started < 30


def test_memory_and_files_are_limited():
    assert not passes("x = bytearray(2 ** 31)")
    assert not passes("open('big', 'wb').write(bytes(2 ** 21))")


def test_limits_cannot_be_raised_from_inside():
    assert not passes("import resource; resource.setrlimit(resource.RLIMIT_CORE, (1, 1))", Limits(seconds=5))


def test_the_caller_environment_is_not_seen(monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "1")
    assert passes("import os; assert 'SECRET_OF_THE_CALLER' not in os.environ")


def test_its_folder_is_empty_and_gone_afterwards(tmp_path):
    note = tmp_path / "where"
    note.touch()
    listed = "assert set(os.listdir()) == {'program.py', 'output'}"
    assert passes(f"import os; open({str(note)!r}, 'w').write(os.getcwd()); {listed}")
    assert subprocess.run(["ls", note.read_text()], capture_output=True).returncode != 0


@needs_namespaces
def test_there_is_no_network():
    listing = "import socket; assert [name for _, name in socket.if_nameindex()] == ['lo']"
    assert passes(listing)


@needs_namespaces
def test_no_process_outlives_the_program(tmp_path):
    beat = tmp_path / "beat"
    daemon = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    while True:
        open({str(beat)!r}, "a").write(".")
        time.sleep(0.05)
time.sleep(0.3)
"""
    assert passes(daemon)
    size = beat.stat().st_size
    time.sleep(0.3)
    assert beat.stat().st_size == size > 0
