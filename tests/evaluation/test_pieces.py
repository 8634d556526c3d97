"""The demo's checks of forms and holes."""

import json

import pytest

from redraft.constraints.spec import JSONSchema
from redraft.evaluation.pieces import FORMS, HOLES, FormPiece, HolePiece

FORM = FormPiece("12 tiles for Ada", {"count": 12, "name": "Ada"})
HOLE = HolePiece("x = ", "\n", ("3",), "x == 3")


def test_a_form_is_asked_with_empty_fields_of_its_types():
    assert FORM.prompt == '12 tiles for Ada\n{"count": 0, "name": ""}\n'


@pytest.mark.parametrize("piece", FORMS)
def test_a_form_wants_what_its_note_says_and_its_schema_allows(piece):
    assert all(str(value) in piece.note for value in piece.wanted.values())
    assert JSONSchema(piece.schema).matches(json.dumps(piece.wanted))
    assert piece.faults(json.dumps(piece.wanted)) == ()


def test_each_field_that_the_note_does_not_say_is_a_fault():
    assert FORM.faults('{"count": 12, "name": "Adam"}') == ('name is "Adam", the note says "Ada"',)
    assert len(FORM.faults('{"count": 1, "name": ""}')) == 2


@pytest.mark.parametrize("answer", ["", "[]", '{"count": 12}', '{"name": "Ada", "count": 12}'])
def test_a_reply_without_the_form_is_one_fault(answer):
    assert len(FORM.faults(answer)) == 1


def test_a_filling_is_right_where_the_program_runs_and_the_check_holds():
    assert HOLE.faults("3") == HOLE.faults("1 + 2") == ()
    assert HOLE.faults("4") == ("x == 3 does not hold",)
    assert HOLE.faults("= 3") == ("that is no Python",)
    assert HOLE.faults("1 / 0") == ("x == 3 does not hold",)


@pytest.mark.parametrize("piece", HOLES)
def test_a_hole_left_empty_is_wrong(piece):
    assert piece.faults("")
