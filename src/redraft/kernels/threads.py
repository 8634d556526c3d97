"""Threads of torch's products: who holds them while who needs them."""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch


def let_go_of_threads() -> None:
    """Ends the idle workers of the calling thread's OpenMP pool, if it has one; the next product makes them anew.

    Every thread that ran a product keeps workers of its own. With more of them in a process than cores, GNU's OpenMP
    lets all workers sleep at once after each product instead of waiting for the next, and waking them costs some 50
    microseconds a product (measured: 10.0 ms per denoising step of redraft-sudoku, 3.9 ms without). So a thread that
    is about to wait for another one's products lets go of its own. Does nothing where torch runs on another OpenMP.
    """
    pause = _pause()
    if pause is not None:
        pause()


@cache
def _pause() -> Callable[[], object] | None:
    """OpenMP 5.0's omp_pause_resource for this machine, of the library that came with torch."""
    folder = Path(torch.__file__).parent
    for file in (*folder.glob("lib/libgomp*.so*"), *folder.parent.glob("torch.libs/libgomp*.so*")):
        library = ctypes.CDLL(str(file))
        if hasattr(library, "omp_pause_resource"):
            soft, host = 1, library.omp_get_initial_device()
            return lambda: library.omp_pause_resource(soft, host)
    return None
