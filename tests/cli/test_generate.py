import json

import pytest

from redraft.config import SamplingParams


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_piped_output_is_the_text_alone(engine, run):
    done = run("generate", "abc")
    assert (done.stdout, done.stderr, done.exit_code) == ("ABC\n", "", 0)


def test_a_dash_reads_the_prompt_from_standard_input(engine, run):
    run("generate", "-", input="from a pipe\n")
    assert engine.asked[0][0] == "from a pipe\n"


def test_json_is_one_object_with_the_fields_of_the_reply(engine, run):
    record = json.loads(run("generate", "abc", "--json").stdout)
    assert (record["text"], record["finish_reason"], record["seed"]) == ("ABC", "stop", 7)
    assert record["usage"]["denoising_steps"] == 2
    assert record["token_ids"] == [65, 66, 67]
    assert "holes" not in record


def test_options_become_sampling_params(engine, run):
    done = run(
        *("generate", "x", "--seed", "3", "--max-tokens", "9", "--entropy-bound", "0.2", "--ignore-eos"),
        *("--stop", "a", "--stop", "b", "--logit-bias", "5=-100", "--logit-bias", "6=1.5", "--stop-token-ids", "4"),
    )
    assert done.exit_code == 0
    assert engine.asked[0][1] == SamplingParams(
        seed=3,
        max_tokens=9,
        entropy_bound=0.2,
        ignore_eos=True,
        stop=["a", "b"],
        logit_bias={5: -100, 6: 1.5},
        stop_token_ids=[4],
    )


def test_a_zero_that_was_typed_is_kept(engine, run):
    run("generate", "x", "--seed", "0", "--temperature", "0", "--min-tokens", "0")
    assert engine.asked[0][1] == SamplingParams(seed=0, temperature=0.0, min_tokens=0)


def test_a_value_out_of_range_is_refused_before_a_model_is_loaded(engine, run):
    done = run("generate", "x", "--max-tokens", "0")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: max_tokens=0: want an integer >= 1")
    assert engine.loaded == []


def test_a_bias_that_does_not_read_is_a_usage_error(engine, run):
    done = run("generate", "x", "--logit-bias", "5")
    assert done.exit_code == 2
    assert "want ID=BIAS" in done.stderr


def test_the_model_comes_from_the_option_then_the_environment_then_what_is_shipped(engine, run, monkeypatch):
    run("generate", "x")
    monkeypatch.setenv("REDRAFT_MODEL", "from-env")
    run("generate", "x")
    run("generate", "x", "-m", "from-option", "--dtype", "bfloat16", "--max-batch", "2")
    assert engine.loaded[0][0] in ("redraft-mini", "redraft-sudoku")
    assert engine.loaded[1] == ("from-env", {})
    assert engine.loaded[2] == ("from-option", {"dtype": "bfloat16", "max_batch": 2})


def test_a_trace_is_recorded_and_saved(engine, run, tmp_path):
    run("generate", "x", "--trace", str(tmp_path / "trace.json"))
    assert engine.asked[0][1].record_trace
    assert (tmp_path / "trace.json").read_text() == "trace"


def test_a_file_of_prompts_gives_replies_with_the_same_ids_in_order(engine, run, tmp_path):
    prompts = [{"prompt": f"p{i}", "id": i} for i in range(40)]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    done = run("generate", "--input", str(source), "--out", str(out))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert [(record["id"], record["text"]) for record in lines(out.read_text())] == [(i, f"P{i}") for i in range(40)]


def test_a_line_may_hold_messages_and_its_own_params_over_those_of_the_command(engine, run, tmp_path):
    source = tmp_path / "in.jsonl"
    message = {"messages": [{"role": "user", "content": "hi"}], "params": {"seed": 5}}
    source.write_text(json.dumps(message) + "\n\n")
    done = run("generate", "--input", str(source), "--seed", "1", "--max-tokens", "4")
    assert lines(done.stdout)[0]["text"] == "HI"
    assert "id" not in lines(done.stdout)[0]
    assert engine.asked[0][1] == SamplingParams(seed=5, max_tokens=4)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ("{", "not JSON"),
        ("[1]", "want a JSON object"),
        ('{"id": 2}', '"prompt" or "messages"'),
        ('{"prompt": "x", "messages": []}', '"prompt" or "messages"'),
        ('{"prompt": "x", "promt": "y"}', "'promt'"),
        ('{"prompt": "x", "params": {"max_tokens": 0}}', "max_tokens=0"),
        ('{"prompt": "x", "params": {"entropy_bond": 1}}', "'entropy_bond'"),
        ('{"prompt": "x", "params": 3}', "params=3"),
        ('{"prompt": ""}', "no tokens"),
    ],
)
def test_a_bad_line_is_named_by_number_and_the_others_go_on(engine, run, tmp_path, bad, word):
    source = tmp_path / "in.jsonl"
    source.write_text(f'{{"prompt": "a", "id": 1}}\n{bad}\n{{"prompt": "b", "id": 3}}\n')
    done = run("generate", "--input", str(source))
    first, error, last = lines(done.stdout)
    assert (first["text"], last["text"]) == ("A", "B")
    assert error["line"] == 2
    assert word in error["error"]
    assert done.stderr.startswith("line 2: ")
    assert done.exit_code == 1


def test_a_bad_line_keeps_its_id(engine, run, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"prompt": "x", "id": "k7", "params": {"seed": -1}}\n')
    assert lines(run("generate", "--input", str(source)).stdout)[0]["id"] == "k7"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["x", "--input", "FILE"],
        ["x", "--out", "replies"],
        ["--input", "FILE", "--trace", "t"],
        ["--input", "/no/such/file"],
    ],
)
def test_arguments_that_do_not_go_together_are_refused(engine, run, tmp_path, arguments):
    source = tmp_path / "in.jsonl"
    source.write_text("")
    done = run("generate", *[str(source) if argument == "FILE" else argument for argument in arguments])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert engine.loaded == []


def test_every_sampling_field_has_an_option(engine, run):
    shown = run("generate", "--help").stdout
    from dataclasses import fields

    names = {field.name for field in fields(SamplingParams)} - {"constraint", "record_trace"}
    assert [name for name in sorted(names) if f"--{name.replace('_', '-')} " not in shown + " "] in ([], ["ignore_eos"])
