"""What `redraft serve` makes of its options, without listening."""

import pytest

from redraft.server import run as listening


@pytest.fixture
def served(monkeypatch):
    """(engines, settings) of each server that would have been started."""
    seen = []
    monkeypatch.setattr(
        listening, "run", lambda engines, settings, on_ready: seen.append((engines, settings)) or on_ready("http://x")
    )
    return seen


def test_models_are_served_under_the_last_part_of_their_name(run, engine, served, tmp_path):
    (tmp_path / "mine").mkdir()
    result = run("serve", str(tmp_path / "mine"), "redraft-sudoku", "--port", "0")
    assert result.exit_code == 0, result.stderr
    assert list(served[0][0]) == ["mine", "redraft-sudoku"]
    assert "http://x/v1" in result.stderr


def test_options_reach_the_settings(run, engine, served):
    run("serve", "m", "--api-key", "a", "--api-key", "b", "--allowed-host", "h", "--max-queue", "3", "--max-batch", "2")
    settings = served[0][1]
    assert (settings.api_keys, settings.allowed_hosts, settings.max_queue) == (("a", "b"), ("h",), 3)
    assert engine.loaded == [("m", {"max_batch": 2})]


def test_a_model_named_by_option_is_served_alone(run, engine, served):
    run("serve", "-m", "one")
    assert list(served[0][0]) == ["one"]


def test_two_models_of_one_name_are_refused(run, engine, served, tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "same").mkdir(parents=True)
    result = run("serve", str(tmp_path / "a" / "same"), str(tmp_path / "b" / "same"))
    assert (result.exit_code, served) == (2, [])


def test_a_taken_port_is_named():
    import socket

    from redraft.errors import InvalidRequest
    from redraft.server.settings import Settings

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidRequest, match=f"port={port}"):
            listening.listen(Settings(port=port))
