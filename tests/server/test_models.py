"""What is served, and the tokenizer over HTTP."""


def test_models_are_listed_and_found_by_name(client):
    listed = client.get("/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["tiny"]
    assert client.get("/v1/models/tiny").json() == listed[0]
    assert client.get("/v1/models/none").status_code == 404


def test_text_survives_the_tokenizer(client, chat_engine):
    tokens = client.post("/tokenize", json={"prompt": "a = 1 # é", "add_special_tokens": False}).json()
    assert tokens["count"] == len(tokens["tokens"])
    assert client.post("/detokenize", json={"tokens": tokens["tokens"]}).json()["prompt"] == "a = 1 # é"
    assert client.post("/detokenize", json={"tokens": [10**6]}).status_code == 400


def test_fields_that_the_tokenizer_does_not_read_are_named(client):
    reply = client.post("/tokenize", json={"prompt": "a", "temperature": 0}).json()
    assert reply["warnings"] == ["temperature has no effect here"]


def test_messages_are_tokenized_as_a_chat_sends_them(client, chat):
    messages = [{"role": "user", "content": "hi"}]
    assert (
        client.post("/tokenize", json={"messages": messages}).json()["count"] == chat().json()["usage"]["prompt_tokens"]
    )


def test_the_tokenizer_names_its_tokens(client):
    info = client.get("/tokenizer_info").json()
    assert (info["bos_token"], info["eos_token"]) == ("<bos>", "<eos>")
    assert "<|turn>" in info["chat_template"]


def test_metrics_count_passes_and_first_commits(client, chat):
    chat(stream=True)
    text = client.get("/metrics").text
    for name in ("forward_passes_total", "tokens_committed_total", "time_to_first_commit_seconds_count"):
        line = next(line for line in text.splitlines() if line.startswith(f"redraft_{name}"))
        assert float(line.split()[-1]) >= 1
    assert 'redraft_requests_total{path="/v1/chat/completions",status="200"}' in text


def value_of(client, name):
    """A figure of the tiny model."""
    return next(float(line.split()[-1]) for line in client.get("/metrics").text.splitlines() if line.startswith(name))


def test_metrics_show_the_cache_and_what_its_prefixes_saved(client):
    say = {"prompt": "def f(x):\n    return x\n" * 60, "max_tokens": 1}
    before = value_of(client, 'redraft_prefix_tokens_total{model="tiny"}')
    for _ in range(2):
        usage = client.post("/v1/completions", json=say).json()["usage"]
    saved = value_of(client, 'redraft_prefix_tokens_total{model="tiny"}') - before
    assert 0 < saved <= usage["prompt_tokens"]
    used = value_of(client, 'redraft_cache_pages_used{layers="full",model="tiny"}')
    assert 0 < used < value_of(client, 'redraft_cache_pages{layers="full",model="tiny"}')
    assert value_of(client, 'redraft_engine_requests{model="tiny",state="running"}') == 0


def test_an_editors_warm_up_fills_the_prefix_cache(client):
    body = {"input_prefix": "y = 2\n" * 300, "input_suffix": "", "n_predict": 0}
    assert client.post("/infill", json=body).json()["content"] == ""
    before = value_of(client, 'redraft_prefix_tokens_total{model="tiny"}')
    client.post("/infill", json={**body, "n_predict": 4})
    assert value_of(client, 'redraft_prefix_tokens_total{model="tiny"}') > before


def test_the_server_says_that_it_is_well(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/version").json()["version"]
