"""What this machine is: processor, memory, accelerator, compiler, versions. Reads, changes nothing."""

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from redraft.kernels import native
from redraft.kernels.suite import PLAIN

_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86-64, x86-64, aarch64


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Facts for a report and for `redraft check`. Memory in bytes."""

    device: str  # "cpu" | "cuda"
    device_name: str
    num_cores: int
    num_threads: int
    memory_total: int  # of the device
    memory_free: int
    default_dtype: str
    dtypes: tuple[str, ...]
    has_fast_bfloat16: bool  # in the device's own arithmetic
    compiler: str | None  # path; None: none found
    has_ninja: bool
    kernels: str  # what a model loaded with kernels="auto" runs on: "native" | "plain torch"
    kernels_reason: str
    versions: dict[str, str]


def this_machine() -> Machine:
    """The device that `device="auto"` would choose, and its surroundings."""
    is_cuda = torch.cuda.is_available()
    if is_cuda:
        free, total = torch.cuda.mem_get_info()
        name, fast = torch.cuda.get_device_name(), torch.cuda.is_bf16_supported()
    else:
        free, total = _host_memory()
        name, fast = _processor(), bool(_BF16_FLAGS & _processor_flags())
    state = native.native_state()
    is_native = state.is_usable and not is_cuda
    return Machine(
        device="cuda" if is_cuda else "cpu",
        device_name=name,
        num_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        num_threads=torch.get_num_threads(),
        memory_total=total,
        memory_free=free,
        default_dtype="bfloat16" if is_cuda else "float32",
        dtypes=("float32", "bfloat16"),
        has_fast_bfloat16=fast,
        compiler=native.find_compiler(),
        has_ninja=native.has_ninja(),
        kernels="native" if is_native else PLAIN.name,
        kernels_reason="the native ones run on a CPU" if is_cuda else state.reason,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Versions that decide what a seed gives and how fast: ours, Python's, torch's."""
    return {
        "redraft": metadata.version("redraft"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def peak_memory(device: torch.device) -> int:
    """Most bytes held at a time so far: by the process on a CPU, by torch on an accelerator."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024  # Linux counts kilobytes


def _host_memory() -> tuple[int, int]:
    """Free and total bytes, a container's own limit included."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = next(
        (int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemAvailable")), total
    )
    limit = next((int(line) for line in _lines("/sys/fs/cgroup/memory.max") if line.strip().isdigit()), total)
    used = next((int(line) for line in _lines("/sys/fs/cgroup/memory.current") if line.strip().isdigit()), 0)
    return min(free, max(limit - used, 0)) if limit < total else free, min(total, limit)


def _processor() -> str:
    named = (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _processor_flags() -> set[str]:
    listed = (line.partition(":")[2] for line in _lines("/proc/cpuinfo") if line.startswith(("flags", "Features")))
    return set(next(listed, "").split())


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []
