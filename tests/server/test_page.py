"""The page, in a headless Chromium: what a person sees and does. Skipped where there is no Chromium."""

import re
import time

import pytest

from redraft.server.page import page as html
from redraft.server.page import policy

WATCH = """window.drawn = new Set(); new MutationObserver(() => {
    for (const canvas of document.querySelectorAll('.canvas')) drawn.add(canvas.textContent);
}).observe(document.body, {subtree: true, childList: true})"""


@pytest.fixture
def open_page(browser):
    """open_page(url, **context) -> a tab that shows the page; a fault in its console, or asking another host, fails."""
    tabs, faults, hosts, allowed = [], [], set(), set()

    def open_tab(url, **context):
        tab = browser.new_page(**context)
        tab.on("console", lambda message: faults.append(message.text) if is_fault(message) else None)
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        tab.goto(url)
        allowed.add(url.split("/")[2])
        tabs.append(tab)
        return tab

    yield open_tab
    assert faults == []
    assert hosts == allowed
    for tab in tabs:
        tab.close()


@pytest.fixture
def tab(open_page, served):
    """A tab that shows the page of the tiny model."""
    tab = open_page(served)
    wait_until(tab, "models.length === 1")
    return tab


def is_fault(message):
    """A reply of 400 is written to the console too, and is what a test asked for."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def set_knob(tab, name, value):
    tab.evaluate(f"document.getElementById('knob-{name}').value = {value}")


def say(tab, text="hi"):
    tab.get_by_label("Message").fill(text)
    tab.keyboard.press("Enter")


def wait_until(tab, expression, seconds=60):
    """Polls from outside: the page's policy allows no code made from strings inside."""
    end = time.monotonic() + seconds
    while not tab.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.05)


def wait_until_done(tab):
    wait_until(tab, "!running && document.getElementById('status').textContent.startsWith('done')")


def test_the_policy_names_the_only_script_and_style():
    rule = policy(html())
    assert "default-src 'none'" in rule and "unsafe" not in rule
    assert len(re.findall("'sha256-", rule)) == 2
    assert not re.search(r"(src|href)=\"(?!data:)", html())


def test_a_bubble_shows_drafts_and_settles_into_the_reply(tab, chat):
    set_knob(tab, "max_tokens", 12)
    set_knob(tab, "seed", 1)
    tab.evaluate(WATCH)
    say(tab)
    wait_until_done(tab)
    shown = tab.locator(".reply .canvas").text_content()
    assert shown == chat(seed=1).json()["choices"][0]["message"]["content"]
    assert tab.evaluate("drawn.size") > 1
    assert "denoising steps" in tab.locator("#figures").text_content()


def test_a_run_can_be_scrubbed_shaded_and_replayed(tab):
    set_knob(tab, "max_tokens", 12)
    say(tab)
    wait_until_done(tab)
    tab.get_by_role("slider").fill("0")
    assert "step 1:" in tab.locator("#figures .now-text").text_content()
    for look in ("Confidence", "Settled", "Draft"):
        tab.locator(".views").get_by_text(look).first.click()
        assert tab.locator(".reply .canvas span").count() > 0
    tab.get_by_role("button", name="Replay").click()
    tab.get_by_role("button", name="Pause").wait_for()
    tab.get_by_role("button", name="Replay").wait_for()


def test_a_position_shows_its_alternatives_by_pointer_and_by_key(tab):
    set_knob(tab, "max_tokens", 12)
    say(tab)
    wait_until_done(tab)
    tab.locator(".reply .views").get_by_text("Confidence").click()
    tab.locator(".reply .canvas span").first.hover()
    assert "Alternatives" in tab.locator(".about").text_content()
    tab.mouse.move(0, 0)
    assert tab.locator(".about").is_hidden()
    tab.locator(".reply .canvas").focus()
    tab.keyboard.press("ArrowRight")
    assert "position 0" in tab.locator(".about").text_content()


def test_stop_ends_a_run(tab):
    set_knob(tab, "max_tokens", 1500)
    set_knob(tab, "max_denoising_steps", 500)
    set_knob(tab, "temperature", 2)
    say(tab)
    wait_until(tab, "document.querySelectorAll('.canvas span').length > 0")
    tab.get_by_role("button", name="Stop").click()
    wait_until(tab, "!running")
    assert tab.locator("#status").text_content() == "stopped"
    assert tab.get_by_role("button", name="Send").is_visible()


def test_a_template_shows_its_holes_while_it_forms_and_after(tab):
    tab.get_by_role("tab", name="Constraints").click()
    tab.locator("#spec").fill("Dear {name}!")
    tab.locator("#holes").fill("name (Ann|Bob)")
    tab.get_by_role("button", name="Run").click()
    wait_until_done(tab)
    assert tab.locator(".canvas .hole").text_content() in ("Ann", "Bob")
    assert tab.locator("#play-out .canvas").text_content().startswith("Dear ")
    tab.locator("#play-out .views").get_by_text("Draft").click()
    cells, holes = (tab.locator(f"#play-out .canvas {kind}").count() for kind in ("[data-i]", ".hole"))
    assert 0 < holes < cells


@pytest.mark.parametrize(
    ("given", "text", "holes"),
    [
        ({"type": "regex", "regex": r"(yes|no), because [a-z ]{5,40}\."}, "no, because of it.", ["no", "of it"]),
        ({"type": "regex", "regex": "yes|no"}, "no", ["no"]),
        ({"type": "regex", "regex": r"(?P<a>\d)\d-x+"}, "12-xx", ["12", "xx"]),
        ({"type": "template", "template": "{{{a}}} {b}"}, "{1} two", ["1", "two"]),
        ({"type": "json_schema"}, '{"a": "x", "b": -1.5, "c": [true]}', ['"x"', "-1.5", "true"]),
        ({"type": "choice"}, "yes", ["yes"]),
    ],
)
def test_what_a_constraint_left_open_is_marked(tab, given, text, holes):
    marks = tab.evaluate("([format, text]) => marksOf(format)(text)", [given, text])
    assert [text[start:end] for start, end, _ in marks] == holes


def test_infill_writes_at_the_cursor_and_can_be_undone(tab):
    set_knob(tab, "max_tokens", 6)
    tab.get_by_role("tab", name="Infill").click()
    was = tab.locator("#code").input_value()
    tab.get_by_role("button", name="Fill at the cursor").click()
    wait_until_done(tab)
    now = tab.locator("#code").input_value()
    assert now.startswith(was[:38]) and now.endswith(was[38:])
    tab.get_by_role("button", name="Undo").click()
    assert tab.locator("#code").input_value() == was


def test_a_gap_is_drawn_once_between_what_surrounds_it(tab):
    """The canvas of an infill begins with the end of what is before the gap, and holds what comes after it."""
    layout = tab.evaluate("gapLayout('x = 1\\n    ', 'return y')({}, {index: 0, before: ''}, '    y = 2\\nretu')")
    assert layout == {"before": "x = 1\n", "after": "rn y", "holes": [[4, 10, "filled in"]]}


def test_tabs_and_the_board_work_by_keyboard(tab):
    tab.get_by_role("tab", name="Chat").focus()
    tab.keyboard.press("ArrowLeft")
    assert tab.locator("#sudoku").is_visible()
    assert tab.locator("#board input").count() == 81
    tab.get_by_label("row 1, column 1").focus()
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate("document.activeElement.ariaLabel") == "row 2, column 1"


def test_colours_follow_the_button(tab):
    dark = "getComputedStyle(document.body).backgroundColor === 'rgb(20, 22, 27)'"
    assert not tab.evaluate(dark)
    for _ in range(2):
        tab.get_by_role("button", name="Colours").click()
    assert tab.evaluate(dark)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(open_page, served, width):
    tab = open_page(served, viewport={"width": width, "height": 700})
    wait_until(tab, "models.length === 1")
    for name in ("Chat", "Constraints", "Infill", "Sudoku"):
        tab.get_by_role("tab", name=name).click()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_an_error_is_shown_in_words(tab):
    set_knob(tab, "t_min", 5)
    say(tab)
    wait_until(tab, "!running && document.querySelector('.fault:not([hidden])')")
    assert "t_min" in tab.locator(".reply .fault").text_content()


def test_a_key_is_asked_for_where_the_server_wants_one(open_page, chat_engine, run_server):
    with run_server({"tiny": chat_engine}, api_keys=("secret",)) as server:
        tab = open_page(server.url)
        tab.get_by_label("asks for a key").fill("secret")
        tab.keyboard.press("Enter")
        wait_until(tab, "models.length === 1")
        assert tab.locator("#key-form").is_hidden()
