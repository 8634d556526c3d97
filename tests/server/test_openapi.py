"""/openapi.json is true: requests made up from it are answered as it says."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("schemathesis")

# A request that fits the schema may still be refused: its prompt may be too long, its pattern may not compile.
NOT_OURS = "positive_data_acceptance"


def test_made_up_requests_are_answered_as_the_description_says(served, tmp_path):
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "--no-color", "run", f"{served}/openapi.json", "--exclude-checks", NOT_OURS, "--seed", "1"]
    options = ["--mode", "all", "--max-examples", "10", "--phases", "fuzzing", "--request-timeout", "60"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:]
