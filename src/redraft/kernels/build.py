"""Compiles csrc into a module: `python build.py DIRECTORY NAME`. A process of its own, as compilers need a search path.

Imports nothing of redraft, so that it also runs where the package is only a directory of files.
"""

import platform
import sys
from pathlib import Path

import torch
from torch.utils.cpp_extension import load

HERE = Path(__file__).parent / "csrc"


def flags() -> list[str]:
    """Optimised for this machine. No -ffast-math: NaN and infinities must stay what they are."""
    is_arm = platform.machine() in ("aarch64", "arm64")
    return ["-O3", "-mcpu=native" if is_arm else "-march=native", "-fno-math-errno", "-fopenmp", "-w"]


def thread_library() -> list[str]:
    """Links torch's own OpenMP runtime, so that torch and the kernels share one pool of threads."""
    root = Path(torch.__file__).parent
    for folder in (root / "lib", root.parent / "torch.libs"):
        for file in sorted(folder.glob("libgomp*.so*")):
            return [f"-L{folder}", f"-l:{file.name}"]
    return ["-fopenmp"]


if __name__ == "__main__":
    load(
        name=sys.argv[2],
        sources=[str(file) for file in sorted(HERE.glob("*.cpp"))],
        extra_cflags=flags(),
        extra_ldflags=thread_library(),
        build_directory=sys.argv[1],
    )
