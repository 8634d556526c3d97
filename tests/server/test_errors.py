"""Wrong input: always an OpenAI-shaped error with the right status, never a 500."""

import pytest

MESSAGES = [{"role": "user", "content": "x"}]


def is_error(response, status):
    body = response.json()
    return response.status_code == status and set(body["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**6}, "prompt"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 10**9}, "n"),
        ({"n": -3}, "n"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 65}, "stop"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 1000}}, "logit_bias"),
        ({"prediction": {"type": "content"}}, "prediction"),
        ({"response_format": {"type": "music"}}, "response_format"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"diffusion": {"canvas_length": 10**6}}, "canvas_length"),
        ({"diffusion": {"no_such": 1}}, "diffusion"),
        ({"diffusion": {"t_min": 0.9, "t_max": 0.1}}, "t_min"),
        ({"stream_options": []}, "stream_options"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(client, fields, param):
    response = client.post("/v1/chat/completions", json={"messages": MESSAGES, **fields})
    assert is_error(response, 400), response.text
    assert response.json()["error"]["param"] == param, response.text


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 7}}},
        {"type": "regex", "regex": "("},
        {"type": "regex", "regex": "a{100000}{1000}"},
    ],
)
def test_a_constraint_that_cannot_be_is_a_400_whose_param_is_no_word_of_its_message(client, form):
    response = client.post("/v1/chat/completions", json={"messages": MESSAGES, "response_format": form})
    assert is_error(response, 400), response.text
    assert response.json()["error"]["param"] is None, response.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_tokens": -1}, "max_tokens=-1: want greater than or equal to 1"),
        ({"temperature": "hot"}, "temperature='hot': want a valid number"),
        ({"stop": ["x"] * 65}, "List should have at most 64 items"),
        ({"stop": ""}, "stop='': String should have at least 1 character"),
        ({"diffusion": {"steps": 4}}, "diffusion.steps=4: Extra inputs are not permitted"),
        ({"seed": "x" * 10_000}, "xxx': want a valid integer"),
    ],
)
def test_the_message_says_what_was_seen_and_what_is_wanted(client, fields, message):
    response = client.post("/v1/chat/completions", json={"messages": MESSAGES, **fields})
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"[]",
        b"null",
        b'"x"',
        b'{"messages": \xff}',
        b'{"messages": [], "temperature": NaN}',
        b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
        b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 1' + b"0" * 5000 + b"}",
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "\\udfff", "messages": 1}',
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"messages": [{"role": "user", "content": "x"}], "tools": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"messages": [{"role": "user", "content": "x", "extra": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}]}",
    ],
)
def test_a_body_that_is_no_request_is_a_400(client, body):
    response = client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert is_error(response, 400), response.text


def test_a_body_that_does_not_say_it_is_json_is_refused(client):
    response = client.post("/v1/chat/completions", content=b'{"messages": []}', headers={"Content-Type": "text/plain"})
    assert is_error(response, 400)


def test_an_unknown_model_is_a_404_that_names_those_there_are(client):
    response = client.post("/v1/chat/completions", json={"model": "gpt-9", "messages": MESSAGES})
    assert is_error(response, 404)
    assert "tiny" in response.json()["error"]["message"]


def test_unknown_paths_and_methods_answer_in_the_same_shape(client):
    assert is_error(client.get("/v1/nothing"), 404)
    assert is_error(client.get("/v1/chat/completions"), 405)
    assert is_error(client.delete("/"), 405)


def test_the_deadline_of_a_request_is_a_408_that_clients_do_not_retry(chat):
    response = chat(max_tokens=400, diffusion={"deadline": 1e-9})
    assert is_error(response, 408)
    assert response.headers["x-should-retry"] == "false"


def test_deeply_nested_schemas_and_arguments_are_refused_calmly(client):
    deep: dict = {"type": "string"}
    for _ in range(90):
        deep = {"type": "array", "items": deep}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": deep}}
    response = client.post("/v1/chat/completions", json={"messages": MESSAGES, "response_format": form})
    assert response.status_code == 400, response.text
