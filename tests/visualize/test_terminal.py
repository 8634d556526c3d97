import io
import re

import pytest
from rich.console import Console

from redraft.evaluation.sudoku import PUZZLES
from redraft.reply import Commit, Draft, Finish, Reply, Usage
from redraft.visualize import terminal
from redraft.visualize.terminal import ASCII_GLYPHS, Glyphs, SudokuPainter, TextPainter, glyphs_for, paced, play

SOLVED = "".join(str((3 * (r % 3) + r // 3 + c) % 9 + 1) for r in range(9) for c in range(9))


def letters(token_id):
    return chr(token_id)


def draft(text, accepted=(), step=0):
    ids = tuple(ord(letter) for letter in text)
    return Draft(
        canvas_index=0,
        denoising_step=step,
        token_ids=ids,
        text=text,
        changed=(),
        accepted=tuple(accepted),
        mean_entropy=0.25,
        temperature=0.8,
    )


def finish(text):
    usage = Usage(
        prompt_tokens=3,
        completion_tokens=len(text),
        canvases=1,
        denoising_steps=2,
        forward_passes=2,
        tokens_per_forward=len(text) / 2,
        converged=(True,),
        seconds=0.5,
    )
    return Finish(reply=Reply(text=text, token_ids=(), finish_reason="stop", seed=1, usage=usage, model="test"))


def commit(text, channel="answer"):
    return Commit(token_ids=tuple(map(ord, text)), text=text, channel=channel)


def console(width=80, height=24, **options):
    return Console(
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=True,
        legacy_windows=False,
        highlight=False,
        markup=False,
        **options,
    )


def screens(output):
    """What a terminal shows after each synchronized update, and at the end: lists of lines without styles."""
    return [screen(output[: match.end()]) for match in re.finditer(r"\x1b\[\?2026l", output)] + [screen(output)]


def screen(output):
    lines, row, column = [""], 0, 0
    for control, text in re.findall(r"(\x1b\[\?*[\d;]*[a-zA-Z]|\r|\n)|([^\x1b\r\n]+)", output):
        if text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        elif control == "\r":
            column = 0
        elif control == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif control.endswith("A"):
            row -= int(control[2:-1] or 1)
        elif control == "\x1b[2K":
            lines[row] = ""
    return [line.rstrip() for line in lines]


def test_a_draft_shows_accepted_text_and_a_dot_per_open_position():
    out = console()
    play([draft("a\n  bc", accepted=[0, 1, 2, 3, 4])], TextPainter(letters, Glyphs()), out, num_steps=48)
    assert screens(out.file.getvalue())[0][:3] == [
        "a",
        "  b·",
        "canvas 1 · denoising step 1/48 · 5/6 accepted · entropy 0.250",
    ]


def test_each_event_is_one_synchronized_repaint():
    out = console()
    play([draft("ab", step=i) for i in range(5)], TextPainter(letters, Glyphs()), out)
    assert out.file.getvalue().count("\x1b[?2026h") == out.file.getvalue().count("\x1b[?2026l") == 5
    assert out.file.getvalue().count("denoising step") == 5


def test_the_finished_answer_stands_on_the_screen_once():
    out = console()
    events = [draft("one\ntwo!"), commit("one\ntw"), draft("o!"), commit("o\n"), finish("one\ntwo\n")]
    reply = play(events, TextPainter(letters, Glyphs()), out)
    assert [line for line in screen(out.file.getvalue()) if line] == ["one", "two"]
    assert reply.text == "one\ntwo\n"


def test_leading_spaces_blank_lines_and_long_lines_survive():
    out = console(width=20)
    text = "\n    if x:\n\n        " + "y" * 30
    play([commit(text), finish(text)], TextPainter(letters, Glyphs()), out)
    assert screen(out.file.getvalue()) == ["", "    if x:", "", "        " + "y" * 30, ""]


def test_a_canvas_taller_than_the_terminal_keeps_its_status_line():
    out = console(height=8)
    play([draft("x\n" * 30, accepted=range(60))], TextPainter(letters, Glyphs()), out)
    lines = [line for line in screens(out.file.getvalue())[0] if line]
    assert len(lines) <= 8
    assert lines[-2] == "…"
    assert lines[-1].startswith("canvas 1")


def test_a_reply_cannot_drive_the_terminal():
    out = console()
    text = "a\x1b[31mred\x07"
    play([draft(text, accepted=range(len(text))), commit(text), finish(text)], TextPainter(letters, Glyphs()), out)
    assert "\x1b[31m" not in out.file.getvalue()
    assert "\x07" not in out.file.getvalue()


def test_colour_follows_no_color(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = console(color_system="standard")
    play([draft("ab", accepted=[0])], TextPainter(letters, Glyphs()), out)
    assert "\x1b[32m" not in out.file.getvalue()
    assert "\x1b[1;32m" not in out.file.getvalue()


def test_nothing_is_drawn_where_output_is_piped():
    out = Console(file=io.StringIO())
    assert play([draft("ab"), commit("ab"), finish("ab")], TextPainter(letters, Glyphs()), out).text == "ab"
    assert out.file.getvalue() == ""


def test_an_ascii_terminal_gets_ascii_marks():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert glyphs_for(Console(file=file)) == ASCII_GLYPHS
    assert glyphs_for(Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))) == Glyphs()
    assert "".join(vars(ASCII_GLYPHS).values()).isascii()


def test_reasoning_is_set_apart_from_the_answer():
    painter = TextPainter(letters, Glyphs())
    settled, _ = painter.commit(commit("think\n", "reasoning"))
    assert "dim" in str(settled.spans[0].style)


def test_a_sudoku_is_drawn_as_a_grid_of_nine_lines_and_two_rules():
    out = console()
    painter = SudokuPainter(PUZZLES[0], letters, Glyphs())
    play([draft(SOLVED + "$", accepted=range(9)), commit(SOLVED), finish(SOLVED)], painter, out)
    forming, *_, final = screens(out.file.getvalue())
    assert forming[:4] == [
        " 1 2 3 │ 4 5 6 │ 7 8 9",
        " · · · │ · · · │ · · ·",
        " · · · │ · · · │ · · ·",
        "───────┼───────┼───────",
    ]
    assert [line for line in final if line][-1] == " 9 1 2 │ 3 4 5 │ 6 7 8"
    assert max(map(len, final)) <= 80


def test_a_cell_that_contradicts_its_clue_is_red():
    painter = SudokuPainter("9" + "." * 80, letters, ASCII_GLYPHS)
    frame = painter.draft(draft(SOLVED, accepted=range(81)))
    red = [frame.plain[span.start : span.end] for span in frame.spans if "red" in str(span.style)]
    assert red == ["1"]


def test_a_committed_text_that_is_no_grid_leaves_the_last_frame():
    painter = SudokuPainter(PUZZLES[0], letters, ASCII_GLYPHS)
    before = painter.draft(draft(SOLVED, accepted=range(81))).plain
    painter.commit(commit("12"))
    assert painter.end().plain == before + "\n"


def test_pacing_sleeps_once_per_draft_and_keeps_every_event(monkeypatch):
    slept = []
    monkeypatch.setattr(terminal.time, "sleep", slept.append)
    events = [draft("a"), commit("a"), draft("b"), finish("ab")]
    assert list(paced(events, 0.2)) == events
    assert slept == [0.2, 0.2]


def test_committed_text_stays_when_an_error_ends_the_reply():
    def broken():
        yield commit("half a li")
        raise KeyboardInterrupt

    out = console()
    with pytest.raises(KeyboardInterrupt):
        play(broken(), TextPainter(letters, Glyphs()), out)
    assert screen(out.file.getvalue())[0] == "half a li"


@pytest.mark.parametrize("height", [1, 2, 3])
def test_a_tiny_terminal_still_shows_a_line(height):
    out = console(height=height)
    play([draft("a\nb\nc", accepted=range(5))], TextPainter(letters, Glyphs()), out)
    assert any(screens(out.file.getvalue())[0])
