import json

from redraft.benchmark.fit import RELEASED


def test_check_says_device_memory_formats_and_compiler(run):
    done = run("check")
    assert done.exit_code == 0
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == ["redraft", "device", "memory", "dtypes", "compiler", "kernels", "models"]
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_has_the_same_facts(run):
    record = json.loads(run("check", "--json").stdout)
    assert record["device"] in ("cpu", "cuda")
    assert 0 < record["memory_free"] <= record["memory_total"]
    assert {"redraft", "python", "torch"} <= record["versions"].keys()
    assert record["kernels"] in ("native", "plain torch") and record["kernels_reason"]
    assert "fit" not in record


def test_the_released_model_is_judged_without_a_network(run):
    record = json.loads(run("check", RELEASED, "--json").stdout)["fit"]
    assert round(record["parameters"] / 1e9, 1) == 25.3
    bf16 = record["precisions"][0]
    assert (bf16["dtype"], round(bf16["weights"] / 1e9, 1)) == ("bfloat16", 50.5)


def test_both_precisions_get_a_plain_verdict(run):
    lines = run("check", RELEASED).stdout.splitlines()[-4:]
    assert [line.split()[0] for line in lines[::2]] == ["bfloat16", "float32"]
    assert all("fit in" in line or "fits in" in line for line in lines[1::2])
    assert max(map(len, lines)) <= 80


def test_the_self_test_says_what_it_found(run):
    record = json.loads(run("check", "redraft-sudoku", "--self-test", "--json").stdout)["self_test"]
    assert record == {"num_replies": 8, "num_equal": 8, "holds": True}
    assert "does not depend on its company (8 of 8 equal)" in run("check", "redraft-sudoku", "--self-test").stdout


def test_a_model_that_is_not_there_is_an_error(run):
    done = run("check", "./nothing")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: model './nothing'")
