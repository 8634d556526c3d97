import io

import pytest
from rich.console import Console

from redraft.cli.chat import Chat, _forgiving
from redraft.config import SamplingParams
from redraft.errors import InvalidRequest


@pytest.fixture
def chat(engine):
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24, highlight=False, color_system=None)
    return Chat(engine, console, SamplingParams())


def test_each_line_is_a_turn_that_remembers_the_ones_before(engine, run):
    done = run("run", input="first\n\nsecond\n")
    assert done.stdout == "FIRST\nSECOND\n"
    assert engine.asked[1][0] == [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "FIRST"},
        {"role": "user", "content": "second"},
    ]


def test_the_model_may_be_given_as_an_argument(engine, run):
    run("run", "some/model", input="")
    assert engine.loaded == [("some/model", {})]


def test_options_are_changed_with_a_slash_and_stay(engine, run):
    run("run", "--max-tokens", "9", input="/seed 5\na\n/max-denoising-steps 12\nb\n/seed 6\nc\n")
    assert [params.as_dict() for _, params in engine.asked] == [
        {"max_tokens": 9, "seed": 5},
        {"max_tokens": 9, "seed": 5, "max_denoising_steps": 12},
        {"max_tokens": 9, "seed": 6, "max_denoising_steps": 12},
    ]


def test_a_new_conversation_forgets_and_exit_ends(engine, run):
    run("run", input="a\n/new\nb\n/exit\nc\n")
    assert [prompt for prompt, _ in engine.asked][1:] == [[{"role": "user", "content": "b"}]]


@pytest.mark.parametrize("line", ["/seed -1", "/seed x", "/nothing 3", "/seed 'open"])
def test_a_wrong_slash_line_is_refused_from_a_pipe(engine, run, line):
    done = run("run", input=line + "\n")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")


def test_a_typed_mistake_or_ctrl_c_does_not_end_the_chat(engine, chat, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    turn = _forgiving(chat.take)
    assert turn("/seed -1")
    assert turn("/nonsense")
    monkeypatch.setattr(engine, "stream", interrupted)
    assert turn("hello")
    assert not turn("/exit")
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: seed=-1: want an integer")
    assert errors[-1] == "stopped"


def test_a_checkpoint_without_a_chat_template_says_so_before_the_first_turn(engine, run):
    engine.intake.template = None
    done = run("run", "m", input="a\n")
    assert done.exit_code == 2
    assert "m has no chat template" in done.stderr
    assert engine.asked == []


def test_a_failed_turn_leaves_the_conversation_as_it_was(engine, chat, monkeypatch):
    chat.say("a")
    before = list(chat.messages)

    def fail(*arguments, **options):
        raise InvalidRequest("no")

    monkeypatch.setattr(engine, "stream", fail)
    with pytest.raises(InvalidRequest):
        chat.say("b")
    assert chat.messages == before


def test_a_live_answer_ends_with_one_line_of_figures(engine, chat):
    chat.say("hello")
    assert chat.last.text == "HELLO"
    shown = chat.console.file.getvalue()
    assert shown.rstrip().endswith("1 canvas · 2/48 steps · 5 tok · 0.5 s · 10 tok/s · 2.5 tok/pass")


def test_the_last_answer_can_be_watched_again(engine, chat, monkeypatch):
    monkeypatch.setattr("redraft.visualize.terminal.time.sleep", lambda seconds: None)
    chat.say("hello")
    before = len(chat.console.file.getvalue())
    assert chat.command("/replay")
    again = chat.console.file.getvalue()[before:]
    assert again.count("denoising step") == 2
    assert "HELLO" in again


def test_options_lists_what_is_set(engine, chat, capsys):
    chat.command("/seed 3")
    chat.command("/options")
    assert capsys.readouterr().out == "seed 3\n"
