"""The page, in a headless Chromium: what a person sees and does. Skipped where there is no Chromium."""

import re
import shutil
import time

import pytest

playwright = pytest.importorskip("playwright.sync_api")

from redraft.server.page import page as html  # noqa: E402
from redraft.server.page import policy  # noqa: E402

CHROMIUM = shutil.which("chromium")
WATCH = """window.drawn = new Set(); new MutationObserver(() => {
    for (const canvas of document.querySelectorAll('.canvas')) drawn.add(canvas.textContent);
}).observe(document.body, {subtree: true, childList: true})"""
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="want chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser, served):
    """A tab that shows the page; a test fails where the page writes an error to the console or asks another host."""
    tab = browser.new_page()
    faults, hosts = [], set()
    tab.on("console", lambda message: faults.append(message.text) if is_fault(message) else None)
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    tab.goto(served)
    wait_until(tab, "models.length === 1")
    yield tab
    assert faults == []
    assert hosts == {served.split("/")[2]}
    tab.close()


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


@needs_browser
def test_a_bubble_shows_drafts_and_settles_into_the_reply(tab, chat):
    set_knob(tab, "max_tokens", 12)
    set_knob(tab, "seed", 1)
    tab.evaluate(WATCH)
    say(tab)
    wait_until_done(tab)
    shown = tab.locator(".bubble:not(.user) .canvas").text_content()
    assert shown == chat(seed=1).json()["choices"][0]["message"]["content"]
    assert tab.evaluate("drawn.size") > 1
    assert "steps" in tab.locator(".bubble:not(.user) > .quiet").text_content()


@needs_browser
def test_a_run_can_be_scrubbed_shaded_and_replayed(tab):
    set_knob(tab, "max_tokens", 12)
    say(tab)
    wait_until_done(tab)
    tab.get_by_label("Denoising step", exact=True).fill("0")
    assert "denoising step 1" in tab.locator(".bubble:not(.user) > .quiet").text_content()
    for look in ("confidence", "settled", "draft"):
        tab.get_by_label("Show").select_option(look)
        assert tab.locator(".bubble:not(.user) .canvas span").count() > 0
    tab.get_by_role("button", name="Replay").click()
    tab.get_by_role("button", name="Pause").wait_for()
    tab.get_by_role("button", name="Replay").wait_for()


@needs_browser
def test_stop_ends_a_run(tab):
    set_knob(tab, "max_tokens", 1500)
    set_knob(tab, "max_denoising_steps", 500)
    set_knob(tab, "temperature", 2)
    say(tab)
    wait_until(tab, "document.querySelectorAll('.canvas span').length > 0")
    tab.get_by_role("button", name="Stop").click()
    wait_until(tab, "!running")
    assert tab.locator("#status").text_content() == "stopped"


@needs_browser
def test_a_template_shows_its_holes(tab):
    tab.get_by_role("tab", name="Constraints").click()
    tab.locator("#spec").fill("Dear {name}!")
    tab.locator("#holes").fill("name (Ann|Bob)")
    tab.get_by_role("button", name="Run").click()
    wait_until_done(tab)
    assert tab.locator(".canvas .hole").text_content() in ("Ann", "Bob")
    assert tab.locator("#play-out .canvas").text_content().startswith("Dear ")


@needs_browser
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


@needs_browser
def test_tabs_and_the_board_work_by_keyboard(tab):
    tab.get_by_role("tab", name="Chat").focus()
    tab.keyboard.press("ArrowLeft")
    assert tab.locator("#sudoku").is_visible()
    assert tab.locator("#board input").count() == 81
    tab.get_by_label("row 1, column 1").focus()
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate("document.activeElement.ariaLabel") == "row 2, column 1"


@needs_browser
def test_an_error_is_shown_in_words(tab):
    set_knob(tab, "t_min", 5)
    say(tab)
    wait_until(tab, "!running && document.querySelector('.bubble .bad')")
    assert "t_min" in tab.locator(".bubble .bad").text_content()
