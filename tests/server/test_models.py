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


def test_the_server_says_that_it_is_well(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/version").json()["version"]
