import subprocess
import sys
from pathlib import Path

import pytest

from redraft.kernels import threads

PROGRAM = """
import os
import torch
from redraft.kernels.threads import let_go_of_threads

def num_threads():
    return len(os.listdir("/proc/self/task"))

def product():
    return torch.ones(256, 256) @ torch.ones(256, 256)

torch.set_num_threads(2)
alone = num_threads()
product()
with_workers = num_threads()
let_go_of_threads()
after = num_threads()
let_go_of_threads()
assert (product() == 256).all() and num_threads() == with_workers
print(with_workers - alone, after - alone)
"""


@pytest.mark.skipif(threads._pause() is None, reason="torch runs on another OpenMP than GNU's")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_a_thread_lets_go_of_its_workers_and_has_them_back_for_its_next_product():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.split() == ["1", "0"], done.stderr
