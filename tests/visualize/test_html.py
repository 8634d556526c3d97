import json
import re

import pytest

from redraft.diffusion.trace import Trace
from redraft.errors import InvalidRequest
from redraft.reply import Commit, Draft
from redraft.visualize.canvas import CanvasView
from redraft.visualize.html import page, settled_steps


def draft(ids, accepted, step, changed=(), canvas_index=0):
    return Draft(
        canvas_index=canvas_index,
        denoising_step=step,
        token_ids=tuple(ids),
        text="",
        changed=tuple(changed),
        accepted=tuple(accepted),
        mean_entropy=0.5,
        temperature=0.8,
    )


def trace(*events, params=None):
    return Trace(model="m & <n>", seed=2**63, params=params or {}, events=events)


def data_of(text):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)[1])


RUN = (
    draft([5, 6], [0], 0, changed=[(0, "a", 0.75), (1, "x", 0.25)]),
    draft([5, 7], [0, 1], 1, changed=[(1, " b", 0.5)]),
    Commit(token_ids=(5, 7), text="a b"),
)


def test_the_page_holds_every_step_of_the_run():
    canvas = data_of(page(trace(*RUN)))["canvases"][0]
    assert [frame["texts"] for frame in canvas["frames"]] == [["a", "x"], ["a", " b"]]
    assert [frame["looks"] for frame in canvas["frames"]] == ["fo", "kf"]
    assert canvas["probabilities"] == [[0.75, 0.25], [0.75, 0.5]]
    assert canvas["settled"] == [0, 1]
    assert canvas["text"] == "a b"


def test_a_reply_cannot_break_out_of_the_page():
    events = (draft([5], [0], 0, changed=[(0, "</script><b>&", 1.0)]), Commit(token_ids=(5,), text="</script>"))
    text = page(trace(*events))
    assert text.count("</script>") == 2
    assert data_of(text)["canvases"][0]["text"] == "</script>"
    assert "<title>m &amp; &lt;n&gt;" in text


def test_a_reply_that_looks_like_the_template_stays_text():
    events = (draft([5], [0], 0, changed=[(0, "{{data}}", 1.0)]),)
    assert data_of(page(trace(*events)))["canvases"][0]["frames"][0]["texts"] == ["{{data}}"]


def test_the_page_needs_no_other_file():
    text = page(trace(*RUN))
    assert not re.search(r"""(src|href|url|import|fetch)\s*[=(]""", text)
    assert "http" not in text


def test_a_seed_above_53_bits_is_written_exactly():
    assert data_of(page(trace(*RUN)))["seed"] == str(2**63)


def test_canvases_follow_one_another():
    more = (draft([5], [0], 0, changed=[(0, "c", 1.0)], canvas_index=1), Commit(token_ids=(5,), text="c"))
    assert [canvas["text"] for canvas in data_of(page(trace(*RUN, *more)))["canvases"]] == ["a b", "c"]


def test_a_position_settles_where_its_last_unbroken_acceptance_began():
    view = CanvasView(str)
    drafts = [([1, 1, 1, 1], [0, 1, 2]), ([1, 2, 1, 1], [0, 1]), ([1, 2, 1, 1], [0, 1, 2])]
    frames = [view.cells(draft(ids, accepted, step)) for step, (ids, accepted) in enumerate(drafts)]
    assert settled_steps(frames) == [0, 1, 2, 3]


def test_a_trace_without_drafts_is_refused():
    with pytest.raises(InvalidRequest, match="no denoising steps"):
        page(trace(Commit(token_ids=(1,), text="a")))
