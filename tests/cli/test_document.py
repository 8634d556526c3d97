from pathlib import Path

import pytest

from redraft.cli.document import diff, fill_line, fill_marks, place_of
from redraft.errors import InvalidRequest


def test_a_place_is_a_file_or_a_file_and_a_line(tmp_path):
    assert place_of("a.py") == (Path("a.py"), None)
    assert place_of("a.py:41") == (Path("a.py"), 41)
    assert place_of("dir:x/a.py") == (Path("dir:x/a.py"), None)
    odd = tmp_path / "odd:3"
    odd.write_text("")
    assert place_of(str(odd)) == (odd, None)


@pytest.mark.parametrize(
    ("line", "before", "after", "result"),
    [
        (1, "", "\na\nb\n", "NEW\na\nb\n"),
        (2, "a\n", "\nb\n", "a\nNEW\nb\n"),
        (3, "a\nb\n", "\n", "a\nb\nNEW\n"),
    ],
)
def test_a_new_line_goes_before_the_line_that_is_named(line, before, after, result):
    seen = []
    assert fill_line("a\nb\n", line, lambda *sides: seen.append(sides) or "NEW") == result
    assert seen == [(before, after)]


def test_a_file_without_a_last_newline_gets_one_before_what_is_appended():
    assert fill_line("a", 2, lambda before, after: "NEW") == "a\nNEW\n"


@pytest.mark.parametrize("line", [0, 4])
def test_a_line_that_is_not_there_is_refused_with_the_lines_there_are(line):
    with pytest.raises(InvalidRequest, match=r"has 2 lines, want 1 to 3"):
        fill_line("a\nb\n", line, lambda before, after: "")


def test_marks_are_filled_from_top_to_bottom_each_seeing_the_results_above():
    seen = []
    filled = fill_marks("a __FILL__ b __FILL__ c", lambda *sides: seen.append(sides) or f"<{len(seen)}>")
    assert filled == "a <1> b <2> c"
    assert seen == [("a ", " b  c"), ("a <1> b ", " c")]


def test_a_file_without_a_mark_is_refused():
    with pytest.raises(InvalidRequest, match="no __FILL__ mark"):
        fill_marks("a", lambda before, after: "")


def test_what_is_filled_in_is_not_searched_for_marks():
    assert fill_marks("__FILL__", lambda before, after: "__FILL__") == "__FILL__"


def test_a_diff_names_the_file_and_shows_both_sides():
    lines = list(diff("a.py", "x\ny\n", "x\nz\n"))
    assert lines[:2] == ["--- a.py", "+++ a.py (new)"]
    assert lines[-2:] == ["-y", "+z"]
    assert list(diff("a.py", "x\n", "x\n")) == []
