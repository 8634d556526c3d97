import dataclasses
import json

import pytest
import torch

from redraft.config import SamplingParams
from redraft.diffusion.predict import Prediction
from redraft.diffusion.process import Place
from redraft.diffusion.trace import TRACE_VERSION, Trace, make_draft
from redraft.errors import LoadError
from redraft.reply import Commit, Draft, Finish, Reply, TokenLogprob, ToolCall, Usage

USAGE = Usage(
    prompt_tokens=3,
    completion_tokens=2,
    canvases=1,
    denoising_steps=4,
    forward_passes=4,
    tokens_per_forward=0.5,
    converged=(True,),
    seconds=0.125,
)
REPLY = Reply(
    text="é",
    token_ids=(5, 9),
    finish_reason="stop",
    seed=2**64 - 1,
    usage=USAGE,
    model="tiny, cpu, float32, torch",
    tool_calls=(ToolCall(name="now", arguments={"zone": ["UTC"]}),),
    holes={"name": "Ada"},
    logprobs=(TokenLogprob(token_id=5, logprob=-0.1, top=((5, -0.1), (6, -2.5))),),
    prompt_logprobs=(None, TokenLogprob(token_id=1, logprob=-3.0)),
    warnings=("a warning",),
)
DRAFT = Draft(
    canvas_index=0,
    denoising_step=1,
    token_ids=(5, 9, 7),
    text="é",
    changed=((0, "é", 0.75),),
    accepted=(0, 2),
    mean_entropy=0.1,
    temperature=float(torch.tensor(0.6)),
)
TRACE = Trace(
    model="tiny",
    seed=2**64 - 1,
    params=SamplingParams(max_tokens=8, logit_bias={3: -100}, stop=["x"]).as_dict(),
    events=(DRAFT, Commit(token_ids=(5,), text="é", channel="reasoning"), Finish(reply=REPLY)),
)


def prediction(best, best_logprob=None):
    length = len(best)
    return Prediction(
        entropy=torch.zeros(length),
        sample=torch.tensor(best),
        best=torch.tensor(best),
        signal=torch.zeros(length, 1),
        free=torch.ones(length, dtype=torch.bool),
        best_logprob=torch.zeros(length) if best_logprob is None else torch.tensor(best_logprob),
    )


def draft(best, previous=None, accepted=(), best_logprob=None):
    is_accepted = torch.zeros(len(best), dtype=torch.bool)
    is_accepted[list(accepted)] = True
    return make_draft(
        prediction(best, best_logprob),
        is_accepted,
        None if previous is None else torch.tensor(previous),
        Place(2, 5),
        temperature=0.6,
        mean_entropy=0.2,
        stop_ids=(9,),
        decode=lambda ids: "".join(chr(97 + i) for i in ids),
    )


def test_a_draft_names_its_place_and_what_was_accepted():
    made = draft([0, 1, 2], accepted=[0, 2])
    assert (made.canvas_index, made.denoising_step) == (2, 5)
    assert made.accepted == (0, 2)
    assert (made.temperature, made.mean_entropy) == (0.6, 0.2)


def test_a_drafts_text_ends_before_the_first_stop_id_and_its_ids_do_not():
    made = draft([0, 1, 9, 2])
    assert made.text == "ab"
    assert made.token_ids == (0, 1, 9, 2)


def test_a_draft_lists_positions_whose_best_id_changed_with_their_probability():
    made = draft([0, 1, 2], previous=[0, 3, 2], best_logprob=[0.0, -0.5, 0.0])
    assert [(position, text) for position, text, _ in made.changed] == [(1, "b")]
    assert made.changed[0][2] == pytest.approx(0.6065, abs=1e-4)


def test_everything_is_new_at_the_first_step():
    assert [position for position, _, _ in draft([0, 1]).changed] == [0, 1]


def test_a_trace_reads_back_equal():
    assert Trace.from_json(TRACE.to_json()) == TRACE


def test_a_trace_file_reads_back_equal(tmp_path):
    TRACE.save(tmp_path / "run.json")
    assert Trace.load(tmp_path / "run.json") == TRACE


def test_the_file_has_the_documented_keys():
    document = json.loads(TRACE.to_json())
    assert list(document) == ["version", "model", "seed", "params", "events"]
    assert [event["event"] for event in document["events"]] == ["draft", "commit", "finish"]
    assert document["version"] == TRACE_VERSION


def test_a_replys_own_trace_is_not_written_inside_itself():
    reply = dataclasses.replace(REPLY, trace=TRACE)
    trace = dataclasses.replace(TRACE, events=(Finish(reply=reply),))
    assert Trace.from_json(trace.to_json()).events[0].reply.trace is None


@pytest.mark.parametrize("version", [0, TRACE_VERSION + 1, "1", None])
def test_an_unknown_version_is_refused(version):
    document = json.loads(TRACE.to_json()) | {"version": version}
    with pytest.raises(LoadError, match="version"):
        Trace.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "3"])
def test_what_is_no_trace_is_refused(text):
    with pytest.raises(LoadError, match="trace"):
        Trace.from_json(text)


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document.pop("seed"),
        lambda document: document["events"][0].pop("text"),
        lambda document: document["events"][0].update(mood="good"),
        lambda document: document["events"][0].update(event="poem"),
        lambda document: document["events"][0].update(changed=[[1, "a"]]),
    ],
)
def test_a_damaged_trace_is_refused(damage):
    document = json.loads(TRACE.to_json())
    damage(document)
    with pytest.raises(LoadError, match="damaged"):
        Trace.from_json(json.dumps(document))


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(LoadError, match="absent"):
        Trace.load(tmp_path / "absent.json")
