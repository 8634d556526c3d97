import pytest

from redraft.config import SamplingParams


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("one\ntwo\n")
    return path


def test_fill_prints_a_diff_and_leaves_the_file(engine, run, file):
    engine.answer = lambda sides: "new"
    done = run("fill", f"{file}:2", "--max-tokens", "5")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-3:] == [" one", "+new", " two"]
    assert done.stderr == ""
    assert file.read_text() == "one\ntwo\n"
    assert engine.asked == [(("one\n", "\ntwo\n"), SamplingParams(max_tokens=5))]


def test_write_applies_the_change(engine, run, file):
    engine.answer = lambda sides: "new"
    done = run("fill", f"{file}:2", "--write")
    assert file.read_text() == "one\nnew\ntwo\n"
    assert done.stderr == f"{file}: written\n"


def test_marks_are_filled_where_no_line_is_named(engine, run, file):
    file.write_text("a = __FILL__\nb = __FILL__\n")
    engine.answer = lambda sides: str(len(sides[0]))
    run("fill", str(file), "--write")
    assert file.read_text() == "a = 4\nb = 10\n"


@pytest.mark.parametrize("place", ["FILE:9", "FILE", "/no/such/file.py"])
def test_a_place_that_is_not_there_is_an_error(engine, run, file, place):
    done = run("fill", place.replace("FILE", str(file)))
    assert done.exit_code in (1, 2)
    assert done.stderr.startswith("error: ")
    assert engine.asked == []


def test_edit_prints_a_diff_of_the_rewritten_text(engine, run, file):
    engine.answer = lambda text: text.replace("two", "2")
    done = run("edit", str(file), "use digits", "--strength", "0.3")
    assert done.stdout.splitlines()[-2:] == ["-two", "+2"]
    assert engine.asked[0][0] == ("one\ntwo\n", "use digits", 0.3)
    assert file.read_text() == "one\ntwo\n"


def test_an_edit_that_changes_nothing_says_so_and_writes_nothing(engine, run, file):
    engine.answer = lambda text: text
    done = run("edit", str(file), "nothing", "--write")
    assert (done.stdout, done.stderr) == ("", f"{file}: no change\n")
