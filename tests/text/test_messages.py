"""What clients send as messages and tools, checked and brought into one form."""

import pytest

from redraft.errors import InvalidRequest
from redraft.text.messages import checked_messages, checked_tools

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": [1, 2]}'}}
USER = {"role": "user", "content": "hi"}


def test_text_parts_are_joined_by_line_breaks():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert checked_messages([{"role": "user", "content": parts}])[0]["content"] == "one\ntwo"


def test_arguments_become_objects_and_missing_content_an_empty_text():
    (message,) = checked_messages([{"role": "assistant", "content": None, "tool_calls": [CALL]}])
    assert message["content"] == ""
    assert message["tool_calls"][0]["function"] == {"name": "look", "arguments": {"at": [1, 2]}}


def test_a_tool_message_is_named_after_the_call_it_answers():
    call = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    checked = checked_messages([USER, call, {"role": "tool", "tool_call_id": "c1", "content": "42"}])
    assert checked[2]["name"] == "look"


def test_thoughts_before_the_last_user_message_are_dropped_under_any_name():
    for key in ("reasoning", "reasoning_content", "thinking"):
        checked = checked_messages([USER, {"role": "assistant", "content": "ho", key: "hm"}, USER])
        assert checked[1] == {"role": "assistant", "content": "ho"}


def test_a_thought_after_the_last_user_message_stays():
    checked = checked_messages([USER, {"role": "assistant", "content": "", "reasoning": "hm", "tool_calls": [CALL]}])
    assert checked[1]["reasoning"] == checked[1]["reasoning_content"] == "hm"


def test_the_messages_given_are_left_as_they_are():
    message = {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [CALL]}
    before = repr(message)
    checked_messages([message, USER])
    assert repr(message) == before


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ([], "messages"),
        ("hi", "messages"),
        ([USER, "hi"], r"messages\[1\]"),
        ([{"content": "hi"}], r"messages\[0\]\.role=None"),
        ([{"role": "robot", "content": "hi"}], r"messages\[0\]\.role='robot'"),
        ([{"role": "user"}], r"messages\[0\]\.content"),
        ([{"role": "user", "content": 7}], r"messages\[0\]\.content=7"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            r"content\[0\] is of type 'image_url'",
        ),
        ([{"role": "user", "content": "x", "tool_calls": [CALL]}], r"messages\[0\]\.tool_calls"),
        ([{"role": "assistant", "tool_calls": [{"id": "c1"}]}], r"messages\[0\]\.tool_calls\[0\]"),
        ([{"role": "assistant", "tool_calls": "x"}], r"messages\[0\]\.tool_calls='x'"),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}],
            r"tool_calls\[0\]\.function\.arguments='\[1\]'",
        ),
    ],
)
def test_a_message_that_is_none_is_refused_by_its_place(messages, named):
    with pytest.raises(InvalidRequest, match=named):
        checked_messages(messages)


def test_no_tools_are_none_and_a_tool_without_a_name_is_refused():
    assert checked_tools([]) is None
    with pytest.raises(InvalidRequest, match=r"tools\[0\]"):
        checked_tools([{"type": "function", "function": {}}])
