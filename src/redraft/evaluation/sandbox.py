"""Runs a program that nobody has read: in a process of its own, in an empty folder, with limits on what it may take.

Not a wall: the program may read and write what the user may. What is limited, on Linux: wall and processor seconds,
memory, size of files and number of processes (root is exempt from the last). Where user namespaces may be made
(`unshare`) it has no network, and no process of its outlives it; `is_cut_off` says whether that holds here.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Set before the program is read, as hard limits: it cannot raise them.
_LIMITED = """
import resource, sys
for limit, most in {limits!r}:
    resource.setrlimit(getattr(resource, limit), (most, most))
exec(compile(open("program.py", encoding="utf-8").read(), "program.py", "exec"), {{"__name__": "__main__"}})
"""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a program may take."""

    seconds: float = 5.0  # of wall time; processor time is cut at the next whole second
    memory: int = 512 * 2**20  # bytes of address space
    file_size: int = 2**20  # bytes
    processes: int = 64  # of this user, those outside the sandbox included

    @property
    def resources(self) -> tuple[tuple[str, int], ...]:
        return (
            ("RLIMIT_CPU", int(self.seconds) + 1),
            ("RLIMIT_AS", self.memory),
            ("RLIMIT_FSIZE", self.file_size),
            ("RLIMIT_NPROC", self.processes),
            ("RLIMIT_CORE", 0),
        )


LIMITS = Limits()


def passes(program: str, limits: Limits = LIMITS) -> bool:
    """Whether a program runs to its end without an error, within the limits.

    An early exit does not count: its last line must have been reached.
    """
    mark = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="redraft-sandbox-") as folder:
        Path(folder, "program.py").write_text(f"{program}\nprint({mark!r})\n", encoding="utf-8")
        # -I: no environment, no user site, no folder of the caller's on the path.
        command = [*_namespaces(), sys.executable, "-I", "-c", _LIMITED.format(limits=limits.resources)]
        output = Path(folder, "output")
        with output.open("wb") as stdout:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                status = process.wait(limits.seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                _end(process)
        return status == 0 and output.read_bytes().rstrip().endswith(mark.encode())


@cache
def is_cut_off() -> bool:
    """Whether programs in the sandbox have no network and leave no process behind; hangs on the machine."""
    return bool(_namespaces())


@cache
def _namespaces() -> tuple[str, ...]:
    """What to put before a command to give it a network and process numbers of its own; nothing where that fails."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    command = (unshare, "--user", "--map-current-user", "--net", "--pid", "--fork", "--kill-child", "--")
    return command if subprocess.run([*command, "true"], capture_output=True).returncode == 0 else ()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and every one it started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
