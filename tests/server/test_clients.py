"""The OpenAI SDK, unmodified, against a real server; and its own types as a check of our shapes."""

import json

import pytest

openai = pytest.importorskip("openai")

MESSAGES = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


@pytest.fixture(scope="module")
def sdk(served):
    return openai.OpenAI(base_url=f"{served}/v1", api_key="x", max_retries=0)


@pytest.fixture(scope="module")
def ask(sdk):
    def create(**fields):
        return sdk.chat.completions.create(
            **{"model": "tiny", "messages": MESSAGES, "max_tokens": 16, "seed": 1, **fields}
        )

    return create


def test_chat_and_models(sdk, ask):
    reply = ask()
    assert [model.id for model in sdk.models.list()] == [reply.model]
    assert reply.choices[0].message.content == ask().choices[0].message.content


def test_replies_fit_the_types_of_the_sdk(client):
    from openai.types import Completion
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    body = {"messages": MESSAGES, "max_tokens": 16, "seed": 1, "logprobs": True, "top_logprobs": 1}
    ChatCompletion.model_validate(client.post("/v1/chat/completions", json=body).json())
    streamed = client.post(
        "/v1/chat/completions", json={**body, "stream": True, "stream_options": {"include_usage": True}}
    )
    for line in streamed.text.split("\n\n"):
        if line.startswith("data: {"):
            ChatCompletionChunk.model_validate(json.loads(line.removeprefix("data: ")))
    Completion.model_validate(
        client.post("/v1/completions", json={"prompt": "x", "max_tokens": 4, "logprobs": 1}).json()
    )


def test_a_naive_loop_survives_drafts(ask):
    plain = "".join(chunk.choices[0].delta.content or "" for chunk in ask(stream=True))
    drawn, frames = "", 0
    for chunk in ask(stream=True, extra_body={"diffusion": {"draft": "tokens", "draft_interval": 0}}):
        frames += bool((chunk.model_extra or {}).get("diffusion"))
        drawn += chunk.choices[0].delta.content or ""
    assert drawn == plain and frames > 1


def test_the_stream_helper_gathers_the_reply(sdk):
    """It raises where a reply ends for its length, so the reply is one that ends by itself."""
    extra = {"diffusion": {"draft": "text"}, "response_format": {"type": "choice", "choices": ["yes", "no"]}}
    with sdk.chat.completions.stream(model="tiny", messages=MESSAGES, seed=1, extra_body=extra) as stream:
        gathered = stream.get_final_completion().choices[0].message.content
    assert gathered in ("yes", "no")


def test_a_schema_and_a_named_tool_are_parsed(ask):
    form = {"type": "json_schema", "json_schema": {"name": "p", "strict": True, "schema": SCHEMA}}
    assert isinstance(json.loads(ask(response_format=form, max_tokens=60).choices[0].message.content)["age"], int)
    tools = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
    named = {"type": "function", "function": {"name": "f"}}
    call = ask(tools=tools, tool_choice=named, max_tokens=60).choices[0].message.tool_calls[0]
    assert isinstance(json.loads(call.function.arguments)["age"], int)


def test_errors_arrive_as_their_classes(sdk, ask):
    with pytest.raises(openai.BadRequestError, match="max_tokens"):
        ask(max_tokens=-1)
    with pytest.raises(openai.NotFoundError, match="tiny"):
        ask(model="other")


def test_decisions(sdk):
    if not hasattr(sdk, "decisions"):
        pytest.skip("this openai has no decisions")
    questions = [{"type": "choice", "instructions": "Which?", "choices": [{"value": "a"}, {"value": "b"}]}]
    reply = sdk.decisions.create(model="tiny", input="hi", questions=questions)
    assert reply.answers[0].choice in ("a", "b")
