"""The Sudoku task: its puzzles are new, and its grades are what the replies deserve."""

from dataclasses import replace

import pytest

from redraft.config import SamplingParams
from redraft.diffusion.trace import Trace
from redraft.evaluation.sudoku import faults, num_clues
from redraft.evaluation.sudoku_task import BOUNDS, NEVER, STEP_CAPS, SamplerTask, SudokuTask
from redraft.evaluation.tasks import Item
from redraft.reply import Draft, Reply, Usage
from redraft.training.sudoku import has_one_solution, is_held_out

TASK = SudokuTask(levels=(25, 28, 40))


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return TASK.items(count=2, seed=1)


def reply(token_text: str, drafts: tuple[Draft, ...] = ()) -> Reply:
    ids = tuple(int(cell) + 4 for cell in token_text)
    return Reply(
        text=token_text,
        token_ids=ids,
        finish_reason="stop",
        seed=0,
        model="test",
        usage=Usage(
            prompt_tokens=83,
            completion_tokens=82,
            canvases=1,
            denoising_steps=6,
            forward_passes=6,
            tokens_per_forward=13.7,
            converged=(True,),
            seconds=0.5,
        ),
        trace=Trace(model="test", seed=0, params={}, events=drafts),
    )


def test_items_are_unique_held_out_puzzles_with_givens_of_their_level(items):
    assert [item.level for item in items] == [25, 25, 28, 28, 40, 40]
    assert [item.bucket for item in items[::2]] == ["24-25 givens", "26-29 givens", "30-46 givens"]
    for item in items:
        assert num_clues(item.prompt) == item.level
        assert has_one_solution([int(cell) for cell in item.prompt.replace(".", "0")])
        assert is_held_out([int(cell) for cell in item.answer])
        assert not faults(item.prompt, item.answer)


def test_items_depend_on_the_seed_alone(items):
    assert TASK.items(2, seed=1) == items
    assert TASK.items(1, seed=2)[0] not in items


def test_every_number_of_givens_has_its_items():
    assert [item.level for item in SudokuTask(levels=range(36, 47)).items(1, seed=0)] == list(range(36, 47))


def test_a_right_answer_is_solved_valid_and_keeps_its_clues(items):
    grades = TASK.grade(items[0], reply(items[0].answer))
    assert grades["solved"] and grades["valid"] and grades["converged"]
    assert grades["clues_kept"] == grades["cells_right"] == 1
    assert grades["steps"] == 6 and grades["revoked_cells"] == 0


def test_a_changed_clue_and_a_wrong_cell_show(items):
    item = items[0]
    given = next(i for i, clue in enumerate(item.prompt) if clue != ".")
    wrong = str(int(item.answer[given]) % 9 + 1)
    grades = TASK.grade(item, reply(item.answer[:given] + wrong + item.answer[given + 1 :]))
    assert not grades["solved"] and not grades["valid"]
    assert grades["clues_kept"] == pytest.approx(1 - 1 / num_clues(item.prompt))
    assert grades["cells_right"] == pytest.approx(80 / 81)


def test_a_short_answer_is_wrong_not_an_error(items):
    grades = TASK.grade(items[0], reply(items[0].answer[:80]))
    assert not grades["solved"]
    assert grades["cells_right"] == pytest.approx(80 / 81)


def test_revised_cells_are_read_from_the_trace(items):
    right = reply(items[0].answer)
    first = right.token_ids[0] % 13 + 1
    draft = Draft(
        canvas_index=0,
        denoising_step=0,
        token_ids=(first, *right.token_ids[1:]),
        text="",
        changed=(),
        accepted=(0, 5),
        mean_entropy=1.0,
        temperature=0.8,
    )
    grades = TASK.grade(items[0], replace(right, trace=replace(right.trace, events=(draft,))))
    assert grades["revoked_cells"] == 1


def test_a_reply_written_left_to_right_has_no_steps(items):
    grades = TASK.grade(items[0], replace(reply(items[0].answer), usage=replace(reply("").usage, canvases=0)))
    assert grades["solved"] and grades["steps"] is grades["converged"] is grades["revoked_cells"] is None


def test_the_settings_differ_in_what_they_are_named_for():
    settings = TASK.settings(SamplingParams(entropy_bound=0.3, temperature=0.5))
    assert settings["refined"].params == SamplingParams(entropy_bound=0.3, temperature=0.5, record_trace=True)
    assert settings["never anew"].params == replace(settings["refined"].params, restart_after=NEVER)
    assert settings["one step"].params == replace(settings["refined"].params, max_denoising_steps=1)
    assert settings["left to right"].params == SamplingParams(decoding="autoregressive", temperature=0.5)


def test_the_sampler_is_swept_over_every_bound_and_step_limit():
    swept = [setting.params for setting in SamplerTask().settings(SamplingParams()).values()]
    pairs = [(params.entropy_bound, params.max_denoising_steps) for params in swept]
    assert pairs == [(bound, cap) for bound in BOUNDS for cap in STEP_CAPS]
