"""Typed decisions in both flavours, and what they refuse."""

import pytest

QUESTIONS = {
    "spam": {"type": "noul", "instructions": "Is it spam?"},
    "topic": {"type": "choice", "instructions": "Which topic?", "criteria": {"sport": None, "news": "politics too"}},
    "tone": {"type": "score", "instructions": "How polite?", "criteria": ["rude", "plain", "kind"]},
}


def test_an_object_of_questions_gets_an_object_of_answers(client):
    reply = client.post("/v1/decisions", json={"state": {"text": "hi"}, "questions": QUESTIONS, "reads": 2}).json()
    answers = reply["answers"]
    assert 0 <= answers["spam"]["noul"] <= 1
    assert sum(answers["topic"]["probabilities"].values()) == pytest.approx(1)
    assert 0 <= answers["tone"]["score"] <= 2 and answers["tone"]["legend"]["0"] == "rude"
    assert not answers["topic"]["calibrated"] and 0 <= answers["topic"]["confidence"] <= 1
    assert reply["usage"]["output_tokens"] == 0


def test_a_list_of_questions_gets_a_list_of_answers(client):
    questions = [
        {"type": "predicate", "instructions": "Is it spam?"},
        {"type": "choice", "name": "t", "instructions": "Which?", "choices": [{"value": "a"}, {"value": True}]},
        {"type": "score", "instructions": "How?", "levels": [{"label": "low"}, {"label": "high", "description": "x"}]},
    ]
    spam, topic, tone = client.post("/v1/decisions", json={"input": "hi", "questions": questions}).json()["answers"]
    assert 0 <= spam["probability"] <= 1 and spam["name"] is None
    assert topic["choice"] in ("a", True) and topic["name"] == "t"
    assert [entry["value"] for entry in topic["probabilities"]] == ["a", True]
    assert [entry["label"] for entry in tone["probabilities"]] == ["low", "high"]


def test_messages_may_be_the_input(client):
    body = {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}
    questions = [{"type": "predicate", "instructions": "Is it?"}]
    assert client.post("/v1/decisions", json={**body, "questions": questions}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"questions": {}},
        {"state": 1, "questions": {}},
        {"state": 1, "questions": {"a": {"type": "poem", "instructions": "x"}}},
        {"state": 1, "questions": {"a": {"type": "choice", "instructions": "x", "criteria": {"one": None}}}},
        {"state": 1, "questions": {"a": {"type": "score", "instructions": "x", "criteria": ["one"]}}},
        {"state": 1, "questions": {"a": {"type": "noul", "instructions": ""}}},
        {"input": "x", "questions": [{"type": "choice", "instructions": "x", "choices": [1, 2]}]},
        {"input": "x", "questions": [{"type": "choice", "instructions": "x", "choices": [{"value": "a"}] * 2}]},
        {"input": "x", "questions": [{"type": "predicate", "instructions": [1]}]},
        {"input": [{"role": "user", "content": 3}], "questions": [{"type": "predicate", "instructions": "x"}]},
        {"state": 1, "questions": {"a": {"type": "noul", "instructions": "x"}}, "reads": 0},
    ],
)
def test_a_question_that_cannot_be_read_is_a_400(client, body):
    response = client.post("/v1/systemone", json=body)
    assert response.status_code == 400, response.text


def test_as_many_questions_as_the_api_allows_are_answered(client):
    questions = [{"type": "predicate", "instructions": f"Is it {i}?"} for i in range(400)]
    reply = client.post("/v1/decisions", json={"input": "hi", "questions": questions}).json()
    assert len(reply["answers"]) == 400 and reply["usage"]["diffusion"]["forward_passes"] == 400


def test_keys_of_questions_that_nothing_reads_are_named(client):
    question = {"type": "predicate", "instructions": "Is it?", "criteria": {"true": "x"}}
    listed = client.post("/v1/decisions", json={"input": "hi", "questions": [question]}).json()
    assert listed["warnings"] == ["questions[0].criteria has no effect here"]
