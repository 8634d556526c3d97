"""Streams: committed text alone in the deltas, drafts beside it, usage where asked for."""

from itertools import pairwise

from redraft.reply import Draft
from redraft.server.exchange import DraftWish
from redraft.server.replies import ChatChunk, TextChunk
from redraft.server.stream import Frames


def text_of(chunks):
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def test_the_deltas_are_the_reply(chat, events):
    whole = chat().json()["choices"][0]
    chunks = events(chat(stream=True))
    assert text_of(chunks) == whole["message"]["content"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]
    assert chunks[-1]["seed"] == 1


def test_every_chunk_is_what_the_description_says(client, chat, events):
    described = client.get("/openapi.json").json()["components"]["schemas"]
    assert {"ChatChunk", "TextChunk", "DraftFrame"} <= set(described)
    for chunk in events(chat(stream=True, diffusion={"draft": "tokens"}, stream_options={"include_usage": True})):
        ChatChunk.model_validate(chunk)
    text = {"prompt": "x", "max_tokens": 6, "stream": True, "diffusion": {"draft": "text"}}
    for chunk in events(client.post("/v1/completions", json=text)):
        TextChunk.model_validate(chunk)


def test_drafts_come_only_when_asked_for_and_leave_the_text_alone(chat, events):
    plain = events(chat(stream=True, max_tokens=40))
    drawn = events(chat(stream=True, max_tokens=40, diffusion={"draft": "text", "draft_interval": 0}))
    frames = [chunk["diffusion"] for chunk in drawn if "diffusion" in chunk]
    assert not any("diffusion" in chunk for chunk in plain)
    assert text_of(plain) == text_of(drawn)
    assert len(frames) == frames[-1]["denoising_step"] + 1 + sum(
        frame["denoising_step"] + 1
        for frame, after in pairwise(frames)
        if after["canvas_index"] > frame["canvas_index"]
    )


def test_every_chunk_has_a_choice_unless_usage_was_asked_for(chat, events):
    assert all(chunk["choices"] for chunk in events(chat(stream=True, diffusion={"draft": "tokens"})))
    *chunks, last = events(chat(stream=True, stream_options={"include_usage": True}))
    assert (last["choices"], last["usage"]["diffusion"]["canvases"]) == ([], 1)
    assert all(chunk["usage"] is None for chunk in chunks)


def test_a_comment_breaks_long_silences(make_client, events):
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 64, "seed": 1, "stream": True}
    response = make_client(ping_interval=1e-4).post("/v1/chat/completions", json=body)
    assert ": ping" in response.text.split("\n\n")
    assert text_of(events(response)) == text_of(events(make_client().post("/v1/chat/completions", json=body)))


def test_choices_stream_side_by_side(chat, events):
    chunks = events(chat(stream=True, n=3))
    ended = [chunk["choices"][0]["index"] for chunk in chunks if chunk["choices"][0]["finish_reason"]]
    assert sorted(ended) == [0, 1, 2]


def test_the_whole_text_replaces_only_for_clients_that_say_so(chat, events):
    whole = chat().json()["choices"][0]["message"]["content"]
    chunks = events(chat(stream=True, diffusing=True))
    shown = [chunk["choices"][0]["delta"]["content"] for chunk in chunks if chunk["choices"][0]["delta"].get("content")]
    assert shown[-1] == whole


def test_wrong_requests_are_refused_before_a_stream_begins(chat):
    response = chat(stream=True, diffusion={"canvas_length": 10_000})
    assert (response.status_code, response.headers["content-type"]) == (400, "application/json")


def draft(step, ids, changed, canvas_index=0):
    return Draft(
        canvas_index=canvas_index,
        denoising_step=step,
        token_ids=tuple(ids),
        text="".join(map(chr, ids)),
        changed=changed,
        accepted=(),
        mean_entropy=1.0,
        temperature=0.8,
    )


def decode(ids):
    return "".join(map(chr, ids))


def test_a_frame_carries_what_frames_passed_over_had_changed():
    frames = Frames(DraftWish(mode="tokens", interval=1e9), decode)
    first = frames.offer(draft(0, b"ab", ((0, "a", 0.5), (1, "b", 0.5))))
    assert first is not None and first["changed"] == [(0, "a", 0.5), (1, "b", 0.5)]
    assert frames.offer(draft(1, b"xb", ((0, "x", 0.7),))) is None
    assert frames.offer(draft(2, b"xc", ((1, "c", 0.6),))) is None
    last = frames.flush()
    assert last is not None and last["changed"] == [(0, "x", 0.7), (1, "c", 0.6)]
    assert frames.flush() is None


def test_a_token_whose_draft_was_dropped_has_no_probability():
    frames = Frames(DraftWish(mode="tokens", interval=0), decode)
    frames.offer(draft(0, b"ab", ((0, "a", 0.5), (1, "b", 0.5))))
    frame = frames.offer(draft(2, b"ax", ()))
    assert frame is not None and frame["changed"] == [(1, "x", None)]


def test_a_new_canvas_begins_with_its_whole_text():
    frames = Frames(DraftWish(mode="tokens", interval=0), decode)
    frames.offer(draft(0, b"ab", ((0, "a", 0.5), (1, "b", 0.5))))
    frame = frames.offer(draft(0, b"ab", ((0, "a", 0.5), (1, "b", 0.5)), canvas_index=1))
    assert frame is not None and frame["text"] == "ab" and len(frame["changed"]) == 2
