"""The native suite: C++ built once per machine by torch's cpp_extension, kept in the user's cache, loaded as a module.

Nothing here runs a compiler before `native_suite` is called, and what it built is used again until torch, Python, the
compiler, the processor or the sources change.
"""

import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch

from redraft.errors import LoadError
from redraft.kernels.statistics import Statistics
from redraft.kernels.suite import PLAIN, FusedLayer, Kernels

MODULE = "redraft_native"
# Up to here all scores of a row are held at once; longer contexts are left to torch, whose version holds only some.
MAX_KEYS = 4096
# Bytes of a layer's weights. Up to 1 MiB every core's own cache holds them. fp32 gains far beyond that, as torch's
# products are slow on few rows; bf16 loses, as each thread pairs the weights anew (measured up to 14 MiB, two cores).
FUSE_UP_TO = {torch.float32: 2**24, torch.bfloat16: 2**20}
SOURCES = tuple(sorted((Path(__file__).parent / "csrc").iterdir()))
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NativeState:
    """Whether this machine can run the native suite, in words for `redraft check`."""

    is_usable: bool
    reason: str


def choose_kernels(device: torch.device, wanted: str = "auto") -> Kernels:
    """The suite for a model on `device`: "torch", "native" (LoadError with the reason where it cannot be had), or
    "auto", native on a CPU where it can be built and plain torch elsewhere.

    The first call on a machine compiles, which takes some tens of seconds and is logged.
    """
    if wanted == "torch" or (wanted == "auto" and device.type != "cpu"):
        return PLAIN
    if device.type != "cpu":
        raise LoadError(f"kernels='native' on {device.type}: they run on a CPU, want 'auto' or 'torch'")
    try:
        return native_suite()
    except LoadError as error:
        if wanted == "native":
            raise
        _log.info("running on plain torch: %s", error)
        return PLAIN


@cache
def native_suite() -> Kernels:
    """The native suite, built where it is not there yet; LoadError where it cannot be. Remembered."""
    module = _import(built_module())
    return Kernels(
        name="native",
        norm=module.norm,
        add_norm=module.add_norm,
        heads=module.heads,
        attend=lambda queries, keys, values, mask=None: (
            module.attend(queries, keys, values, mask)
            if keys.shape[1] <= MAX_KEYS
            else PLAIN.attend(queries, keys, values, mask)
        ),
        gated=module.gated,
        softcap=module.softcap,
        route=module.route,
        experts=module.experts,
        # [E, 2F, D] with neighbouring outputs side by side in memory: what a vector of outputs is loaded from.
        lay_out=lambda gate_up: gate_up.transpose(1, 2).contiguous().transpose(1, 2),
        statistics=lambda *arguments: Statistics(*module.statistics(*arguments)),
        fuse=partial(_fuse, module),
        fuse_up_to=FUSE_UP_TO,
    )


def _fuse(module: Any, weights: Mapping[str, torch.nn.Parameter], **shape: Any) -> FusedLayer:
    """See Kernels.fuse. Matrices come to lie as [in, out], their rows filled up to whole panels of columns."""
    for name, weight in weights.items():
        if name.split(".")[0] in ("attention", "mlp") and weight.ndim == 2:
            num_out, size = weight.shape
            rows = weight.new_zeros(size, -(-num_out // module.panel) * module.panel)
            rows[:, :num_out] = weight.detach().t()
            weight.data = rows[:, :num_out].t()
    tensors = {name: weight.detach() for name, weight in weights.items()}
    return module.FusedLayer(weights=tensors, **shape)


def native_state() -> NativeState:
    """Whether the native suite is there, could be built, or why not; compiles nothing."""
    file = _module_file()
    if file.exists():
        return NativeState(is_usable=True, reason="built for this machine")
    if (failure := file.with_suffix(".failed")).exists():
        return NativeState(is_usable=False, reason=f"the build failed, see {failure}")
    missing = _missing_tool()
    if missing:
        return NativeState(is_usable=False, reason=missing)
    return NativeState(is_usable=True, reason="not built yet, the first model to be loaded does it")


def built_module() -> Path:
    """The file of the module, which is compiled if need be; LoadError where that fails, without trying twice."""
    file = _module_file()
    if file.exists():
        return file
    state = native_state()
    if not state.is_usable:
        raise LoadError(f"the native kernels cannot be used: {state.reason}")
    _log.warning("compiling the native kernels, once for this machine: about half a minute")
    scratch = file.parent / f"building-{os.getpid()}"
    scratch.mkdir(parents=True, exist_ok=True)
    # -P: beside the script lies a random.py that would take the standard library's place.
    command = [sys.executable, "-P", str(Path(__file__).parent / "build.py"), str(scratch), MODULE]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": _search_path()})
    if done.returncode == 0:
        # Renaming is atomic: another process that builds too cannot see half a file.
        (scratch / f"{MODULE}.so").replace(file)
    else:
        file.with_suffix(".failed").write_text(done.stdout + done.stderr)
    shutil.rmtree(scratch, ignore_errors=True)
    if done.returncode:
        raise LoadError(f"the native kernels cannot be used: {native_state().reason}")
    return file


def find_compiler() -> str | None:
    """Path of the C++ compiler that a build would use."""
    names = (os.environ.get("CXX"), "c++", "g++")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def has_ninja() -> bool:
    """Whether the builder is there: on the path, or beside Python, where pip puts it."""
    return shutil.which("ninja", path=_search_path()) is not None


def _missing_tool() -> str | None:
    if platform.system() != "Linux":
        return f"built and tested on Linux only, this is {platform.system()}"
    if find_compiler() is None:
        return "no C++ compiler found (c++, g++ or $CXX)"
    if not has_ninja():
        return "no ninja found: pip install 'redraft[native]'"
    return None


def _search_path() -> str:
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


def _module_file() -> Path:
    """Where the module of exactly these sources, versions and this processor is kept."""
    parts = [str(torch.__version__), sys.version, str(find_compiler()), _processor()]
    parts += [source.read_text() for source in (*SOURCES, Path(__file__).parent / "build.py")]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "redraft" / f"native-{digest}" / f"{MODULE}.so"


def _processor() -> str:
    """Architecture and instruction sets: code for one processor may not run on another that shares the home."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return platform.machine() + flags


def _import(file: Path) -> Any:
    spec = spec_from_file_location(MODULE, file, loader=ExtensionFileLoader(MODULE, str(file)))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise LoadError(f"the native kernels cannot be used: {file} does not load: {error}") from error
    return module
