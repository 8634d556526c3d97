"""What the Python clients' files share: BASE and MODEL of the command line, and a line of output per check."""

import json
import sys
from collections.abc import Callable, Mapping

BASE, MODEL = sys.argv[1:]
V1 = f"{BASE}/v1"
SAY = [{"role": "user", "content": "hi"}]
SCHEMA = {"title": "person", "type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
FORM = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": SCHEMA}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
NAMED = {"type": "function", "function": {"name": "f"}}
HOLE = {"prompt": "def f(x):\n    y = ", "suffix": "\n    return y\n", "max_tokens": 8}


def is_text(value: object) -> bool:
    return isinstance(value, str)


def has_age(text: str) -> bool:
    return isinstance(json.loads(text)["age"], int)


def run(checks: Mapping[str, Callable[[], bool]]) -> int:
    """Runs every check; 1 where one fails."""
    status = 0
    for name, check in checks.items():
        try:
            result = "passes" if check() else "fails: another result"
        except Exception as error:
            result = f"fails: {type(error).__name__} {' '.join(str(error).split())[:300]}"
        status |= result != "passes"
        print(f"{name:44}{result}", flush=True)
    return status
