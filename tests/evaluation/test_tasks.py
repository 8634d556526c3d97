"""The Sudoku task: its puzzles are new, and its figures are what the replies deserve."""

from dataclasses import replace

import pytest

from redraft.diffusion.trace import Trace
from redraft.evaluation.sudoku import faults, num_clues
from redraft.evaluation.tasks import Item, SudokuTask
from redraft.reply import Draft, Reply, Usage
from redraft.training.sudoku import has_one_solution, is_held_out

TASK = SudokuTask(buckets=((26, 29), (38, 40)))


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


def test_items_are_unique_held_out_puzzles_with_givens_of_their_bucket(items):
    assert [item.bucket for item in items] == ["26-29 givens"] * 2 + ["38-40 givens"] * 2
    for item, (low, high) in zip(items, [(26, 29)] * 2 + [(38, 40)] * 2, strict=True):
        assert low <= num_clues(item.prompt) <= high
        assert has_one_solution([int(cell) for cell in item.prompt.replace(".", "0")])
        assert is_held_out([int(cell) for cell in item.answer])
        assert not faults(item.prompt, item.answer)


def test_items_depend_on_the_seed_alone(items):
    assert TASK.items(2, seed=1) == items
    assert TASK.items(1, seed=2)[0] not in items


def test_a_right_answer_is_solved_valid_and_keeps_its_clues(items):
    figures = TASK.summary(items, [reply(item.answer) for item in items])
    assert figures["solved"]["share"] == figures["valid"]["share"] == figures["converged"]["share"] == 1
    assert figures["clues_kept"] == figures["cells_right"] == 1
    assert figures["denoising_steps"] == 6 and figures["revoked_cells"] == 0


def test_a_changed_clue_and_a_wrong_cell_show(items):
    item = items[0]
    given = next(i for i, clue in enumerate(item.prompt) if clue != ".")
    wrong = str(int(item.answer[given]) % 9 + 1)
    answer = item.answer[:given] + wrong + item.answer[given + 1 :]
    figures = TASK.summary([item], [reply(answer)])
    assert figures["solved"]["successes"] == figures["valid"]["successes"] == 0
    assert figures["clues_kept"] == pytest.approx(1 - 1 / num_clues(item.prompt))
    assert figures["cells_right"] == pytest.approx(80 / 81)


def test_a_short_answer_is_wrong_not_an_error(items):
    figures = TASK.summary(items[:1], [reply(items[0].answer[:80])])
    assert figures["solved"]["share"] == 0
    assert figures["cells_right"] == pytest.approx(80 / 81)


def test_revised_cells_are_read_from_the_trace(items):
    item = items[0]
    right = reply(item.answer)
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
    figures = TASK.summary([item], [replace(right, trace=replace(right.trace, events=(draft,)))])
    assert figures["revoked_cells"] == 1
