"""The page of a trace: what it holds, and in a headless Chromium what it shows."""

import json
import re

import pytest

from redraft.diffusion.trace import Trace
from redraft.errors import InvalidRequest
from redraft.reply import Commit, Draft, Finish, Reply, Usage
from redraft.visualize.html import page


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
MORE = (draft([5], [0], 0, changed=[(0, "c", 1.0)], canvas_index=1), Commit(token_ids=(5,), text="c"))


def test_the_page_holds_every_step_of_the_run():
    first, second, commit = data_of(page(trace(*RUN)))["events"]
    assert (first["accepted"], second["accepted"]) == ([0], [0, 1])
    assert second["changed"] == [[1, " b", 0.5]]
    assert commit["text"] == "a b"


def test_a_reply_cannot_break_out_of_the_page():
    events = (draft([5], [0], 0, changed=[(0, "</script><b>&", 1.0)]), Commit(token_ids=(5,), text="</script>"))
    text = page(trace(*events))
    assert text.count("</script>") == 2
    assert data_of(text)["events"][1]["text"] == "</script>"
    assert "<title>m &amp; &lt;n&gt;" in text


def test_a_reply_that_looks_like_the_template_stays_text():
    events = (draft([5], [0], 0, changed=[(0, "{{data}}", 1.0)]),)
    assert data_of(page(trace(*events)))["events"][0]["changed"][0][1] == "{{data}}"


def test_the_page_may_ask_nobody_for_anything():
    text = page(trace(*RUN))
    assert "content=\"default-src 'none';" in text
    assert not re.search(r"""(src|href)="(?!data:)|@import|url\(|fetch\(""", text)


def test_a_seed_above_53_bits_is_written_exactly():
    assert data_of(page(trace(*RUN)))["seed"] == str(2**63)


def test_a_trace_without_drafts_is_refused():
    with pytest.raises(InvalidRequest, match="no denoising steps"):
        page(trace(Commit(token_ids=(1,), text="a")))


@pytest.fixture
def show(browser):
    """show(*events) -> a tab that shows the page of a trace of them; a fault of its script fails the test."""
    tab, faults = browser.new_page(), []
    tab.on("pageerror", lambda error: faults.append(str(error)))

    def open_tab(*events):
        tab.set_content(page(trace(*events)))
        return tab

    yield open_tab
    tab.close()
    assert faults == []


def test_the_page_plays_scrubs_and_ends_with_the_text(show):
    tab = show(*RUN, *MORE)
    tab.get_by_role("button", name="Replay").wait_for()  # it has played once
    assert tab.locator("#canvas").text_content() == "a bc"
    tab.get_by_label("Denoising step").fill("0")
    assert tab.locator("#canvas").text_content() == "a·"
    tab.locator("body").press("ArrowRight")
    assert tab.locator("#canvas").text_content() == "a b"
    assert "2/2 accepted" in tab.locator("#now").text_content()


def test_the_page_says_what_the_constraint_cost_at_each_step(show):
    usage = Usage(
        prompt_tokens=1,
        completion_tokens=2,
        canvases=1,
        denoising_steps=2,
        forward_passes=2,
        tokens_per_forward=1.0,
        converged=(True,),
        seconds=0.1,
    )
    constraint = {"log_z": (-12.34, -0.5)}
    reply = Reply(
        text="a b", token_ids=(5, 7), finish_reason="stop", seed=1, usage=usage, model="m", constraint=constraint
    )
    tab = show(*RUN, Finish(reply=reply))
    tab.get_by_role("button", name="Replay").wait_for()
    tab.get_by_label("Denoising step").fill("0")
    assert "log_z -12.3" in tab.locator("#now").text_content()


def test_the_page_says_what_stood_at_a_position(show):
    tab = show(*RUN)
    tab.get_by_role("button", name="Replay").wait_for()
    tab.get_by_text("Confidence").click()
    tab.locator("#canvas [data-i]").nth(1).hover()
    assert re.search(r"␣b.*settled at step 2 of 2.*x25\.0 %, from step 1", tab.locator(".about").text_content())


def test_a_position_settles_where_its_last_unbroken_acceptance_began(show):
    texts = [(0, "a", 1.0), (1, "b", 1.0), (2, "c", 1.0), (3, "d", 1.0)]
    tab = show(
        draft([1, 1, 1, 1], [0, 1, 2], 0, changed=texts),
        draft([1, 2, 1, 1], [0, 1], 1, changed=[(1, "x", 1.0)]),
        draft([1, 2, 1, 1], [0, 1, 2], 2),
    )
    assert tab.evaluate("settledSteps(run.canvases[0])") == [0, 1, 2, 3]


def test_looks_say_what_is_new_what_stays_and_what_was_taken_back(show):
    tab = show(
        draft([1, 1, 1], [0, 2], 0, changed=[(0, "a", 1.0), (1, "b", 1.0), (2, "c", 1.0)]),
        draft([1, 1, 1], [0, 1], 1),
    )
    assert tab.evaluate("[0, 1, 2].map(i => lookAt(run.canvases[0], 1, i))") == ["kept", "fresh", "faded"]
