"""A gathered corpus: splits, manifest, reproducible bytes."""

import gzip
import hashlib
import json

import pytest

from redraft.errors import InvalidRequest
from redraft.training.corpus import SPLITS, credit_lines, gather, is_held_out, split_of, texts

NAMES = ["iniconfig", "attrs", "packaging", "h11"]  # attrs is a held-out package


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    gather(out, seed=3, names=NAMES)
    return out


def rows(corpus, split):
    return [json.loads(line) for line in (corpus / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_order(corpus, tmp_path):
    gather(tmp_path / "same", seed=3, names=NAMES)
    gather(tmp_path / "other", seed=4, names=NAMES)
    train, manifest = (corpus / "train.jsonl").read_bytes(), (corpus / "manifest.json").read_bytes()
    assert (tmp_path / "same" / "train.jsonl").read_bytes() == train
    assert (tmp_path / "same" / "manifest.json").read_bytes() == manifest
    other = (tmp_path / "other" / "train.jsonl").read_bytes()
    assert other != train
    assert sorted(other.splitlines()) == sorted(train.splitlines())


def test_the_manifest_names_each_package_and_the_hash_of_each_split(corpus):
    manifest = json.loads((corpus / "manifest.json").read_text())
    assert [package["name"] for package in manifest["packages"]] == sorted(NAMES)
    assert all(package["version"] and package["licence"] for package in manifest["packages"])
    for split in SPLITS:
        assert (
            manifest["splits"][split]["sha256"] == hashlib.sha256((corpus / f"{split}.jsonl").read_bytes()).hexdigest()
        )
        assert manifest["splits"][split]["files"] == len(rows(corpus, split))


def test_credits_name_the_packages_trained_on(corpus):
    lines = credit_lines(json.loads((corpus / "manifest.json").read_text()))
    assert [line.split()[1] for line in lines] == sorted(set(NAMES) - {"attrs"})
    assert all(line.endswith(")") for line in lines)


def test_a_held_out_package_is_nowhere_else(corpus):
    assert is_held_out("attrs")
    assert {row["package"] for row in rows(corpus, "heldout_packages")} == {"attrs"}
    assert "attrs" not in {row["package"] for row in rows(corpus, "train") + rows(corpus, "heldout_files")}


def test_about_one_file_in_fifty_is_held_out():
    held_out = sum(split_of("packaging", f"file_{i}.py") == "heldout_files" for i in range(5000))
    assert 60 < held_out < 140


def test_texts_gives_a_split_in_its_order(corpus):
    assert list(texts(corpus, "train")) == [row["text"] for row in rows(corpus, "train")]
    with pytest.raises(InvalidRequest, match="split='test'"):
        next(texts(corpus, "test"))


def test_text_of_the_evaluation_data_is_dropped(corpus, tmp_path):
    victim = rows(corpus, "train")[0]
    task = {"prompt": victim["text"], "canonical_solution": "", "suffix": ""}
    folder = tmp_path / "humaneval-infilling"
    folder.mkdir()
    with gzip.open(folder / "tasks.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps(task) + "\n")
    manifest = gather(tmp_path / "out", seed=3, evaluation_data=tmp_path, names=NAMES)
    assert manifest["dropped"]["in an evaluation set"] >= 1
    assert victim["path"] not in [row["path"] for row in rows(tmp_path / "out", "train")]


def test_a_folder_without_the_evaluation_data_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="humaneval-infilling"):
        gather(tmp_path / "out", evaluation_data=tmp_path, names=[])
