"""aider, unmodified, against a running server: aider.py BASE_URL MODEL. It has a litellm and an openai of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import MODEL, V1, run

QUIET = ("--no-analytics", "--no-check-update", "--no-show-model-warnings", "--no-pretty", "--yes-always")
TASK = ("--edit-format", "whole", "--map-tokens", "0", "--no-auto-commits", "--message", "fix add", "a.py")


def is_answered() -> bool:
    """That aider gets its answer: a model this small writes none that it could apply."""
    program = Path(sys.executable).with_name("aider")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.py").write_text("def add(a, b):\n    return a - b\n")
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        settings = {
            "OPENAI_API_BASE": V1,
            "OPENAI_API_KEY": "x",
            "HOME": folder,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        command = [program, "--model", f"openai/{MODEL}", *QUIET, *TASK]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True, timeout=300
        )
    said = done.stdout + done.stderr
    if done.returncode or "Tokens:" not in said or "litellm." in said:
        raise RuntimeError(said[-300:])
    return True


raise SystemExit(run({"aider --edit-format whole": is_answered}))
