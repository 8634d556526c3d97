from pathlib import Path

import pytest

from redraft.cli.document import diff, fill_line, fill_marks, place_of, read_document, write_document
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


def test_lines_are_counted_as_editors_count_them():
    assert fill_line("a\fb\u2028c\nd\n", 2, lambda before, after: "NEW") == "a\fb\u2028c\nNEW\nd\n"
    assert list(diff("a.py", "a\fb\n", "a\fc\n"))[-2:] == ["-a\fb", "+a\fc"]


def test_a_diff_says_where_the_last_newline_is_missing():
    assert list(diff("a.py", "x\n", "x"))[-3:] == ["-x", "+x", "\\ No newline at end of file"]


@pytest.mark.parametrize("data", [b"a\r\nb\r\n", b"a\nb\n", b"a\r\nb\n", b"\xef\xbb\xbfa\r\n", b"a\rb\r", b""])
def test_a_file_keeps_its_line_ends(tmp_path, data):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    write_document(path, read_document(path))
    assert path.read_bytes() == data


def test_a_new_line_ends_as_the_others_do(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\r\nb\r\n")
    document = read_document(path)
    assert document.text == "a\nb\n"
    write_document(path, document.with_text(fill_line(document.text, 2, lambda before, after: "NEW")))
    assert path.read_bytes() == b"a\r\nNEW\r\nb\r\n"


@pytest.mark.parametrize(("data", "why"), [(None, "no such file"), (b"\xff\x00", "UTF-8")])
def test_what_is_no_text_file_is_refused_by_name(tmp_path, data, why):
    path = tmp_path / "a.bin"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InvalidRequest, match=rf"a\.bin: .*{why}"):
        read_document(path)
    with pytest.raises(InvalidRequest, match="a file"):
        read_document(tmp_path)
