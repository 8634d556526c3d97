import os
import subprocess
import sys
from pathlib import Path

import pytest

from redraft import __version__, cli
from redraft.errors import DeadlineExceeded, InvalidRequest, LoadError, ModelFailure, OutOfMemory

LIGHT = "assert not {'torch', 'fastapi', 'transformers', 'numpy', 'rich', 'huggingface_hub'} & set(sys.modules)"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"], ["generate", "--help"], ["bench", "--help"]])
def test_help_loads_no_heavy_library(arguments):
    code = (
        f"import sys, redraft.cli\ntry: redraft.cli.main({arguments!r})\nexcept SystemExit as e: assert e.code == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code + LIGHT], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr


def test_the_bare_command_prints_eight_lines_with_four_commands(run):
    lines = run().stdout.splitlines()
    assert len(lines) == 8
    assert sum(line.startswith("  redraft ") for line in lines) == 4
    assert __version__ in lines[0]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help_within_eighty_columns(name, run):
    done = run(name, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: redraft {name}")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_every_command_of_the_table_is_in_help(run):
    listed = run("--help").stdout
    assert all(f"  {name} " in listed for name in cli.COMMANDS)


def test_an_unknown_command_is_a_usage_error_in_one_line(run):
    done = run("genrate", "x")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["error: No such command 'genrate'.", "try: redraft --help"]


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (InvalidRequest("max_tokens=0: want >= 1"), 2, "try: redraft generate --help"),
        (LoadError("no such model"), 1, "try: redraft check"),
        (OutOfMemory("needs 5 bytes"), 1, "try: redraft check MODEL, then a smaller --max-context or --max-tokens"),
        (ModelFailure("logits are NaN"), 1, None),
        (DeadlineExceeded(""), 1, None),
    ],
)
def test_an_error_is_one_line_and_the_next_command(engine, run, monkeypatch, error, code, hint):
    def fail(prompt, params):
        raise error

    monkeypatch.setattr(engine, "generate", fail)
    done = run("generate", "x")
    assert done.exit_code == code
    assert done.stdout == ""
    first = f"error: {str(error) or type(error).__name__}"
    assert done.stderr.splitlines() == [first, *([hint] if hint else [])]


def test_ctrl_c_ends_with_130_and_closes_the_engine(engine, run, monkeypatch):
    def interrupted(prompt, params):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "generate", interrupted)
    done = run("generate", "x")
    assert (done.exit_code, done.stdout, done.stderr.strip()) == (130, "", "cancelled")
    assert engine.is_closed


def test_a_missing_file_is_an_error_and_no_traceback(run):
    done = run("replay", "/no/such/trace.json")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert "/no/such/trace.json" in done.stderr


def test_a_reader_that_goes_away_leaves_no_traceback():
    code = "import sys, redraft.cli; redraft.cli.main(['--help'])"
    command = f'{sys.executable} -c "{code}" | true'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=dict(os.environ))
    assert "Traceback" not in done.stderr


def test_a_terminal_that_is_not_utf8_gets_a_question_mark(tmp_path):
    code = """
import sys, click, redraft.cli
@click.command()
def demo(): click.echo("caf\\u00e9 \\u2713")
sys.modules["redraft.cli.demo"] = type(sys)("demo"); sys.modules["redraft.cli.demo"].demo = demo
redraft.cli.main(["demo"])
"""
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, cwd=Path(tmp_path))
    assert done.stdout == b"caf\xe9 ?\n", done.stderr
