"""openai-node, llm and lm-eval, unmodified, on a real server. Skipped until scripts/clients/install has been run."""

import json
import math
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "build" / "clients"
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def installed(path: str) -> Path:
    """A file that scripts/clients/install puts there."""
    if not (CLIENTS / path).exists():
        pytest.skip("want other clients: scripts/clients/install")
    return CLIENTS / path


def run(command, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_openai_node_streams_parses_and_raises_as_it_does_elsewhere(served):
    folder = installed("node/node_modules/openai").parents[1]
    with (ROOT / "scripts" / "clients" / "openai-node.mjs").open() as script:
        run(["node", "--input-type=module", "-", served, "tiny"], cwd=folder, stdin=script)


@pytest.fixture
def llm(served, tmp_path):
    """llm(*arguments) -> what `llm` prints; models "chat" and "text" are the two ways to ask the server."""
    program = installed("ci/bin/llm")
    models = [
        {"model_id": "chat", "supports_schema": True, "supports_tools": True},
        {"model_id": "text", "completion": True},
    ]
    shared = {"model_name": "tiny", "api_base": f"{served}/v1"}
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([{**shared, **model} for model in models]))
    env = {**os.environ, "LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "x"}
    return lambda *arguments: run([program, *arguments], env=env)


def test_llm_prints_the_chat_the_completion_and_the_schema(llm, chat, client):
    options = ("-o", "max_tokens", "12", "-o", "seed", "1")
    assert llm("-m", "chat", *options, "hi").strip() == chat().json()["choices"][0]["message"]["content"].strip()
    completion = client.post("/v1/completions", json={"prompt": "hi", "max_tokens": 12, "seed": 1}).json()
    assert llm("-m", "text", *options, "hi").strip() == completion["choices"][0]["text"].strip()
    schema = json.dumps(SCHEMA)
    assert isinstance(json.loads(llm("-m", "chat", "-o", "max_tokens", "60", "--schema", schema, "hi"))["age"], int)


TASKS = {
    "pick": {"output_type": "multiple_choice", "doc_to_choice": "{{choices}}", "doc_to_target": "gold"},
    "say": {
        "output_type": "generate_until",
        "doc_to_target": "{{choices[gold]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8},
        "metric_list": [{"metric": "exact_match"}],
    },
}


def test_lm_eval_scores_and_generates_through_completions(served, client, tmp_path):
    program = installed("ci/bin/lm_eval")
    document = {"question": "Is it so?", "choices": ["yes", "no"], "gold": 0}
    (tmp_path / "documents.jsonl").write_text(json.dumps(document) + "\n")
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(tmp_path / "documents.jsonl")}}}
    for name, task in TASKS.items():
        whole = {"task": name, "test_split": "test", "doc_to_text": "{{question}}", **data, **task}
        (tmp_path / f"{name}.yaml").write_text(json.dumps(whole))
    arguments = f"model=tiny,base_url={served}/v1/completions,tokenizer_backend=remote"
    command = [program, "run", "--model", "local-completions", "--model_args", arguments, "--tasks", *TASKS]
    options = ["--include_path", tmp_path, "--log_samples", "--output_path", tmp_path / "out"]
    offline = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OPENAI_API_KEY": "x"}
    run([*command, *options], env={**os.environ, **offline}, cwd=tmp_path)
    sample, said = (
        json.loads(next((tmp_path / "out" / "tiny").glob(f"samples_{name}_*")).read_text()) for name in TASKS
    )
    assert float(sample["filtered_resps"][0][0]) == pytest.approx(logprob_of(client, "Is it so?", " yes"), abs=1e-3)
    assert isinstance(said["filtered_resps"][0], str)


def logprob_of(client, context, continuation):
    """The log-probability of a continuation, from the echoed prompt."""
    ids, before = (
        client.post("/tokenize", json={"prompt": text, "add_special_tokens": False}).json()["tokens"]
        for text in (context + continuation, context)
    )
    body = {"prompt": ids, "echo": True, "logprobs": 1, "max_tokens": 0}
    choice = client.post("/v1/completions", json=body).json()["choices"][0]
    return math.fsum(choice["logprobs"]["token_logprobs"][len(before) :])
