import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from redraft.checkpoint import fetch
from redraft.checkpoint.fetch import resolve, shipped_models
from redraft.checkpoint.load import load_model
from redraft.errors import LoadError

COMMIT, OLD_COMMIT = "b" * 40, "a" * 40


@pytest.fixture
def hub(checkpoint, tmp_path, monkeypatch):
    """A hub cache that holds two revisions of one model, and no network."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    repo = cache / "models--someone--small-model"
    for commit in (COMMIT, OLD_COMMIT):
        shutil.copytree(checkpoint, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    (repo / "refs" / "old").write_text(OLD_COMMIT)
    # The library reads its environment once, when it is imported.
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return repo / "snapshots"


def test_a_local_directory_is_itself(checkpoint):
    assert resolve(checkpoint) == checkpoint
    assert resolve(str(checkpoint)) == checkpoint


def test_a_shipped_name_comes_before_a_directory_of_that_name(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_SHIPPED", tmp_path)
    assert shipped_models() == ["checkpoint"]
    monkeypatch.chdir(tmp_path)
    assert resolve("checkpoint") == tmp_path / "checkpoint"


def test_a_hub_id_is_its_snapshot_in_the_cache(hub):
    assert resolve("someone/small-model") == hub / COMMIT
    assert load_model("someone/small-model").canvas_length == 12


def test_the_hubs_environment_variables_are_honoured(hub):
    code = "from redraft.checkpoint.fetch import resolve; print(resolve('someone/small-model'))"
    environment = {**os.environ, "HF_HUB_CACHE": str(hub.parents[1]), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(hub / COMMIT)


def test_a_revision_is_a_branch_or_a_commit(hub):
    assert resolve("someone/small-model@old") == hub / OLD_COMMIT
    assert resolve(f"someone/small-model@{OLD_COMMIT}") == hub / OLD_COMMIT


def test_a_model_that_is_not_cached_is_refused_when_offline(hub):
    with pytest.raises(LoadError, match=r"'someone/other'.*not in the hub cache"):
        resolve("someone/other")


@pytest.mark.parametrize("name", ["redraft-nothing", "/no/such/place", "./no-such-place", "a/b/c", ""])
def test_an_unknown_name_is_refused_with_what_a_name_may_be(name):
    with pytest.raises(LoadError, match=r"want a directory, a shipped model .*, or a hub id"):
        resolve(name)


def test_a_file_is_no_model(checkpoint):
    with pytest.raises(LoadError, match="want a directory"):
        resolve(checkpoint / "config.json")


def test_what_the_hub_says_about_a_licence_is_passed_on(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    response = SimpleNamespace(headers={}, request=None)

    def refuse(*args, **kwargs):
        raise GatedRepoError("visit https://hub.example/someone/gated to ask for access", response=response)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(LoadError, match=r"licence must be accepted.*visit https://hub\.example/someone/gated"):
        resolve("someone/gated")
