"""Chat and what it carries: text, seeds, figures, logprobs, warnings."""

import json

import pytest


def test_a_chat_is_answered_in_the_shape_clients_read(chat):
    reply = chat().json()
    choice = reply["choices"][0]
    assert (reply["object"], reply["model"], choice["message"]["role"]) == ("chat.completion", "tiny", "assistant")
    assert choice["finish_reason"] in ("stop", "length")
    usage = reply["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["diffusion"]["forward_passes"] >= usage["diffusion"]["canvases"] >= 1


def test_a_seed_gives_the_same_text_and_is_echoed(chat):
    first, second = chat(seed=5).json(), chat(seed=5).json()
    assert first["choices"][0]["message"] == second["choices"][0]["message"]
    assert (first["seed"], first["choices"][0]["seed"]) == (5, 5)


def test_a_drawn_seed_repeats_its_text_and_fits_a_script_number(chat):
    drawn = chat(seed=None).json()
    assert drawn["seed"] < 2**53
    assert chat(seed=drawn["seed"]).json()["choices"][0]["message"] == drawn["choices"][0]["message"]


def test_n_choices_are_those_of_the_seeds_from_seed_on(chat):
    many = chat(seed=3, n=3).json()
    alone = [chat(seed=3 + i).json()["choices"][0]["message"] for i in range(3)]
    assert [choice["message"] for choice in many["choices"]] == alone
    assert [choice["seed"] for choice in many["choices"]] == [3, 4, 5]


def test_max_completion_tokens_wins_over_max_tokens(chat):
    assert chat(max_tokens=12, max_completion_tokens=3).json()["usage"]["completion_tokens"] <= 3


def test_logprobs_belong_to_the_committed_tokens(chat):
    reply = chat(logprobs=True, top_logprobs=2).json()
    content = reply["choices"][0]["logprobs"]["content"]
    assert len(content) == reply["usage"]["completion_tokens"]
    assert all(entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 2 for entry in content)


def test_fields_without_effect_are_named(chat):
    warnings = chat(frequency_penalty=0.5, presence_penalty=0, user="me", unheard_of=1).json()["warnings"]
    assert [text.split()[0] for text in warnings] == ["frequency_penalty", "user", "unheard_of"]


def test_what_only_a_stream_can_show_is_named_without_one(chat):
    fields = {"stream_options": {"include_usage": True}, "diffusing": True, "diffusion": {"draft": "text"}}
    assert [text.split()[0] for text in chat(**fields).json()["warnings"]] == [
        "stream_options",
        "diffusing",
        "diffusion.draft",
    ]


def test_every_field_may_be_null(chat):
    names = ("max_tokens", "stop", "seed", "n", "tools", "response_format", "logprobs", "stream", "diffusion", "user")
    assert chat(**dict.fromkeys(names)).status_code == 200


def test_our_own_fields_reach_the_sampler(chat):
    reply = chat(diffusion={"max_denoising_steps": 1}).json()
    assert reply["usage"]["diffusion"]["denoising_steps"] == reply["usage"]["diffusion"]["canvases"]


def test_content_may_come_in_parts(chat):
    parts = [{"type": "text", "text": "hi"}]
    assert chat(messages=[{"role": "user", "content": parts}]).json()["choices"] == chat().json()["choices"]


def test_json_schema_holds_whatever_the_weights(chat):
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": schema}}
    reply = chat(response_format=form, max_tokens=60, stop=["x"]).json()
    assert json.loads(reply["choices"][0]["message"]["content"])["age"] >= 0
    assert reply["warnings"][0].startswith("stop is not used")


def test_choices_and_patterns_are_formats_too(chat):
    one = chat(response_format={"type": "choice", "choices": ["yes", "no"]}).json()
    assert one["choices"][0]["message"]["content"] in ("yes", "no")
    date = chat(response_format={"type": "regex", "regex": r"\d{4}"}).json()
    assert date["choices"][0]["message"]["content"].isdecimal()


def test_a_template_gives_its_holes(chat):
    form = {"type": "template", "template": "Dear {name}!", "holes": {"name": {"choices": ["Ann", "Bob"]}}}
    choice = chat(response_format=form).json()["choices"][0]
    assert choice["message"]["content"] == f"Dear {choice['holes']['name']}!"


TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    },
}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_forced_tool_call_is_whole(chat, choice):
    reply = chat(tools=[TOOL], tool_choice=choice, max_tokens=80).json()["choices"][0]
    call = reply["message"]["tool_calls"][0]["function"]
    assert (reply["finish_reason"], reply["message"]["content"], call["name"]) == ("tool_calls", None, "f")
    assert isinstance(json.loads(call["arguments"])["x"], int)


def test_a_forced_tool_call_streams_whole(chat, events):
    chunks = events(chat(tools=[TOOL], tool_choice="required", max_tokens=80, stream=True))
    calls = [chunk["choices"][0]["delta"].get("tool_calls") for chunk in chunks]
    assert [call[0]["function"]["name"] for call in calls if call] == ["f"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert not any(chunk["choices"][0]["delta"].get("content") for chunk in chunks)
