from redraft.reply import Draft
from redraft.visualize.canvas import CanvasView, Look, texts_in


def draft(ids, accepted, *, canvas_index=0, denoising_step=0, changed=()):
    return Draft(
        canvas_index=canvas_index,
        denoising_step=denoising_step,
        token_ids=tuple(ids),
        text="",
        changed=tuple(changed),
        accepted=tuple(accepted),
        mean_entropy=0.5,
        temperature=0.8,
    )


def looks(view, *args, **kwargs):
    return [cell.look for cell in view.cells(draft(*args, **kwargs))]


def test_a_position_opens_gets_fresh_then_kept():
    view = CanvasView(str)
    assert looks(view, [5], []) == [Look.OPEN]
    assert looks(view, [5], [0]) == [Look.FRESH]
    assert looks(view, [5], [0]) == [Look.KEPT]


def test_another_id_at_an_accepted_position_is_fresh_again():
    view = CanvasView(str)
    looks(view, [5], [0])
    assert looks(view, [6], [0]) == [Look.FRESH]


def test_a_position_that_loses_acceptance_fades_while_its_id_stays():
    view = CanvasView(str)
    looks(view, [5], [0])
    assert looks(view, [5], []) == [Look.FADED]
    assert looks(view, [6], []) == [Look.OPEN]
    assert looks(view, [5], [0]) == [Look.FRESH]


def test_a_new_canvas_starts_open():
    view = CanvasView(str)
    looks(view, [5], [0])
    assert looks(view, [5], [], canvas_index=1) == [Look.OPEN]


def test_the_text_of_an_id_is_asked_for_once():
    asked = []
    view = CanvasView(lambda token_id: asked.append(token_id) or f"<{token_id}>")
    first = view.cells(draft([3, 3], [0]))
    view.cells(draft([3, 4], [0]))
    assert [cell.text for cell in first] == ["<3>", "<3>"]
    assert asked == [3, 4]


def test_a_trace_gives_the_texts_of_its_ids():
    events = [
        draft([3, 4], [], changed=[(0, "a", 0.5), (1, "b", 0.2)]),
        draft([3, 7], [], changed=[(1, " c", 0.9)]),
    ]
    text_of = texts_in(events)
    assert [text_of(i) for i in (3, 4, 7, 99)] == ["a", "b", " c", ""]
