"""Legacy completions and infill dialects."""

import math

import pytest

from redraft.server.fim import split_markers


@pytest.fixture(scope="module")
def complete(client):
    def post(**fields):
        return client.post("/v1/completions", json={"prompt": "def f(x):", "max_tokens": 6, "seed": 1, **fields})

    return post


def test_a_list_of_prompts_gives_n_choices_each(complete):
    reply = complete(prompt=["a", "b"], n=2).json()
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
    assert [choice["seed"] for choice in reply["choices"]] == [1, 2, 1, 2]


def test_ids_are_taken_as_they_are(complete, chat_engine):
    ids = chat_engine.tokenizer.encode_prompt("def f(x):")
    assert complete(prompt=ids).json()["choices"] == complete().json()["choices"]
    assert complete(prompt=[ids, ids]).json()["usage"]["prompt_tokens"] == 2 * len(ids)
    assert complete(prompt=[10**6]).status_code == 400


def test_echo_repeats_the_prompt_with_its_logprobs(complete, chat_engine):
    ids = chat_engine.tokenizer.encode_prompt("def f(x):")
    choice = complete(prompt=ids, echo=True, logprobs=1, max_tokens=1).json()["choices"][0]
    assert choice["text"].startswith("def f(x):")
    logprobs = choice["logprobs"]
    assert len(logprobs["tokens"]) == len(logprobs["token_logprobs"]) == len(ids) + 1
    assert logprobs["token_logprobs"][0] is None
    assert all(math.isfinite(value) for value in logprobs["token_logprobs"][1:])


def test_a_prompt_alone_can_be_scored(complete, chat_engine):
    choice = complete(echo=True, logprobs=0, max_tokens=0).json()["choices"][0]
    assert choice["text"] == "def f(x):"
    assert len(choice["logprobs"]["tokens"]) == len(chat_engine.tokenizer.encode_prompt("def f(x):"))
    assert complete(max_tokens=0).status_code == 400


def test_a_prompt_of_one_token_has_no_logprob(complete):
    logprobs = complete(prompt=[100], echo=True, logprobs=1, max_tokens=0).json()["choices"][0]["logprobs"]
    assert logprobs["token_logprobs"] == [None]


def test_a_suffix_makes_an_infill_and_streams_the_same(complete, events):
    whole = complete(suffix="\n    return y\n").json()["choices"][0]["text"]
    chunks = events(complete(suffix="\n    return y\n", stream=True))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole


def test_markers_of_an_editor_are_an_infill_too(complete):
    marked = "<|fim_prefix|>def f(x):<|fim_suffix|>\n    return y\n<|fim_middle|>"
    assert complete(prompt=marked).json()["choices"] == complete(suffix="\n    return y\n").json()["choices"]


@pytest.mark.parametrize(
    ("prompt", "pair"),
    [
        ("<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", ("a", "b")),
        ("<PRE> a <SUF>b <MID>", (" a ", "b ")),
        ("[SUFFIX]b[PREFIX]a", ("a", "b")),
        ("// file\n<fim_prefix>a<fim_suffix>b<fim_middle>\n", ("// file\na", "b")),
        ("x <fim_prefix> y", None),
        ("a<|fim_suffix|>b<|fim_prefix|>c<|fim_middle|>", None),
    ],
)
def test_prompts_are_split_at_the_markers_in_use(prompt, pair):
    assert split_markers(prompt) == pair


def test_fim_answers_in_both_shapes(client):
    body = {"prompt": "def f(x):", "suffix": "\n    return y\n", "max_tokens": 6, "seed": 1}
    choice = client.post("/v1/fim/completions", json=body).json()["choices"][0]
    assert choice["text"] == choice["message"]["content"]


def test_infill_speaks_llama_cpp(client):
    body = {"input_prefix": "def f(x):", "input_suffix": "\n    return y\n", "n_predict": 6, "seed": 1, "top_k": 40}
    reply = client.post("/infill", json={**body, "input_extra": [{"filename": "a.py", "text": "y = 1"}]}).json()
    assert reply["warnings"] == ["top_k is not used: an infill is constrained"]
    assert isinstance(reply["content"], str) and reply["timings"]["predicted_n"] == reply["tokens_predicted"]
    warm = client.post("/infill", json={**body, "n_predict": 0}).json()
    assert (warm["content"], warm["tokens_predicted"]) == ("", 0)


def test_an_edit_rewrites_the_region_and_says_none_where_it_keeps_it(client):
    content = "current_file_path: a.py\n<|code_to_edit|>\nx = <|cursor|>1\n<|/code_to_edit|>\n"
    body = {"messages": [{"role": "user", "content": content}], "seed": 1}
    kept = client.post("/v1/edit/completions", json={**body, "strength": 0}).json()
    assert (kept["object"], kept["choices"][0]["message"]["content"]) == ("edit.completion", "None")
    new = client.post("/v1/edit/completions", json={**body, "strength": 1}).json()["choices"][0]["message"]["content"]
    assert new.startswith("```\n") and new.endswith("\n```")


@pytest.mark.parametrize("message", [{"role": "system", "content": "x"}, {"role": "user", "content": "no region"}])
def test_an_edit_without_a_region_is_refused(client, message):
    assert client.post("/v1/edit/completions", json={"messages": [message]}).status_code == 400


def test_tags_that_no_edit_closes_are_refused_at_once(client):
    content = "<|code_to_edit|>" * 60_000  # a pattern searched from each of them would take hours
    response = client.post("/v1/edit/completions", json={"messages": [{"role": "user", "content": content}]})
    assert response.status_code == 400
