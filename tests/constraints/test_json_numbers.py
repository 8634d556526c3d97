"""Number languages against the numbers themselves."""

import json
import random
from fractions import Fraction

import pytest

from redraft.constraints.automaton import ByteAutomaton, compile_tree
from redraft.constraints.json_multiples import multiples
from redraft.constraints.json_numbers import (
    JSON_NUMBER,
    exact,
    near,
    numbers,
    short_numbers,
    spellings,
    whole_numbers,
    whole_values,
)
from redraft.constraints.json_quotients import opinions, undisputed_multiples
from redraft.constraints.tree import Minus

INTERVALS = [
    (None, None),
    (0, None),
    (0, 100),
    (-5, 5),
    (0.1, 0.5),
    (None, -3.25),
    (1e-7, 1e-3),
    (99.5, None),
    (12, 15),
]


def accepts(automaton: ByteAutomaton, value: float) -> bool:
    return automaton.matches(json.dumps(value).encode())


def some_numbers(count: int) -> list[float]:
    rng = random.Random(7)
    drawn = [rng.randint(-200, 200) for _ in range(count)]
    drawn += [round(rng.uniform(-20, 20), rng.randint(0, 5)) for _ in range(count)]
    drawn += [rng.uniform(-1, 1) * 10.0 ** rng.randint(-20, 20) for _ in range(count)]
    return [*drawn, 0, 1, 0.1, 0.5, 99.5, 100.0, 99.99999999999999, 1e-5, 1e-7, 1e16, 1e22, 1e300, 123456.789]


@pytest.mark.parametrize(("low", "high"), INTERVALS)
@pytest.mark.parametrize("is_open", [False, True])
def test_an_interval_holds_what_json_dumps_prints_of_its_numbers_and_no_others(low, high, is_open):
    bounds = [None if bound is None else exact(bound) for bound in (low, high)]
    automaton = compile_tree(numbers(*bounds, is_open, is_open))
    for value in some_numbers(200):
        above = low is None or value > low or (value == low and not is_open)
        below = high is None or value < high or (value == high and not is_open)
        assert accepts(automaton, value) == (above and below), value


@pytest.mark.parametrize(("low", "high"), [*INTERVALS, (150, 7000), (-1000, -7), (9, 10)])
def test_whole_numbers_of_an_interval_are_written_without_a_point(low, high):
    automaton = compile_tree(whole_numbers(*(None if bound is None else exact(bound) for bound in (low, high))))
    for value in [*range(-1100, 1100), 6999, 7000, 7001, 2**63 - 1, 2**64 - 1, -(2**63)]:
        assert accepts(automaton, value) == ((low is None or value >= low) and (high is None or value <= high)), value
    assert not any(map(automaton.matches, (b"1.0", b"1e0", b"01", b"-0", b"+1", b"")))


@pytest.mark.parametrize("text", ["0.9999999999999999999", "1.0", "1e0", "1", "1.00000000000000000001"])
def test_an_exclusive_bound_leaves_out_what_rounds_onto_it(text):
    below = compile_tree(numbers(None, Fraction(1), False, True))
    above = compile_tree(numbers(Fraction(1), None, True, False))
    assert float(text) == 1.0
    assert not below.matches(text.encode())
    assert not above.matches(text.encode())


def test_a_value_is_left_out_in_all_its_spellings():
    automaton = compile_tree(near(Fraction(1)))
    assert all(automaton.matches(text) for text in (b"1", b"1.0", b"1.000", b"1e0", b"1E+00", b"0.99999999999999999"))
    assert not any(automaton.matches(text) for text in (b"1.0000000000000002", b"0.9999999999999999", b"10", b"-1"))


@pytest.mark.parametrize("step", [1, 3, 7, 12, 1000, 0.01, 0.5, 1.0, 0.3])
@pytest.mark.parametrize("is_whole", [False, True])
def test_multiples_are_those_of_exact_division(step, is_whole):
    tree = multiples(exact(step), is_whole)
    assert tree is not None
    automaton = compile_tree(tree)
    values = [v for v in some_numbers(50) if "e" not in repr(v) and abs(v) < 1e12] + [
        exact_float(step, i) for i in range(-40, 40)
    ]
    for value in values:
        is_multiple = (exact(value) / exact(step)).denominator == 1
        assert accepts(automaton, value) == (is_multiple and not (is_whole and isinstance(value, float))), value


def exact_float(step: float, factor: int) -> float:
    """factor * step without the error of floating multiplication."""
    return float(exact(step) * factor) if isinstance(step, float) else step * factor


def test_multiples_that_take_too_many_states_are_none():
    assert multiples(Fraction(864), True) is None
    assert multiples(Fraction(10) ** 30, False) is not None
    assert undisputed_multiples(exact(1e-5), False) is None
    assert undisputed_multiples(exact(1e-8), False) is None


@pytest.mark.parametrize("step", [0.01, 0.1, 0.05, 0.3, 1.1, 0.001])
def test_undisputed_multiples_are_those_of_decimals_and_of_doubles(step):
    tree = undisputed_multiples(exact(step), False)
    assert tree is not None
    automaton = compile_tree(tree)
    places = len(repr(step).split(".")[1])
    rng = random.Random(3)
    for number in [*range(400), *(rng.randrange(10**6) for _ in range(400))]:
        value = number / 10**places
        by_doubles = (value / step).is_integer()
        is_multiple = (exact(value) / exact(step)).denominator == 1
        assert accepts(automaton, value) == (by_doubles and is_multiple), value
        assert accepts(automaton, -value) == (by_doubles and is_multiple), value


@pytest.mark.parametrize(("step", "large"), [(0.01, 10**12), (0.1, 10**14), (0.3, 3 * 10**13)])
def test_integers_beyond_the_table_are_multiples_where_no_double_disputes_it(step, large):
    automaton = compile_tree(undisputed_multiples(exact(step), True))
    rng = random.Random(5)
    for number in [large + exact(step).numerator * rng.randrange(10**6) for _ in range(300)]:
        assert opinions(Fraction(number), exact(step)) == {True}
        assert accepts(automaton, number)
        assert not accepts(automaton, number + 1) or exact(step).numerator == 1


def test_short_numbers_stay_off_integers_that_they_are_not():
    automaton = compile_tree(Minus(short_numbers(), whole_values()))
    assert all(map(automaton.matches, (b"0.5", b"-12.010", b"3.00001", b"-9999999.0000001")))
    assert not any(map(automaton.matches, (b"1", b"1.0", b"-0.000", b"5e-1", b"7.00000000000000000001")))
    assert float("9999999.0000001") != 9999999.0


@pytest.mark.parametrize("bound", [2**53 + 1, 2**60 - 1, 2**60 + 1, 1152921504606847000, -(2**53) - 1, 10**25 + 1])
def test_no_double_that_rounds_over_a_large_bound_is_written(bound):
    least, most = (compile_tree(numbers(*ends)) for ends in ((Fraction(bound), None), (None, Fraction(bound))))
    for text in (f"{bound + step}.0" for step in (-1000, -1, 0, 1, 1000)):
        assert float(text) >= bound or not least.matches(text.encode())
        assert float(text) <= bound or not most.matches(text.encode())
    assert least.matches(repr(float(bound) * (1 + 1e-9 if bound > 0 else 1 - 1e-9)).encode())


def test_spellings_are_those_of_json_dumps():
    assert spellings(Fraction(1), False) == ("1", "1.0")
    assert spellings(Fraction(1), True) == ("1",)
    assert spellings(exact(1e16), False) == ("10000000000000000", "1e+16")
    assert spellings(exact(1e-7), False) == ("1e-07",)


def test_free_form_numbers_are_the_grammar_of_json_less_what_overflows():
    automaton = compile_tree(JSON_NUMBER)
    assert all(map(automaton.matches, (b"0", b"-0", b"10.50", b"1E5", b"1e+5", b"0.1e-10", b"1e299", b"1e-323")))
    assert not any(map(automaton.matches, (b"", b"01", b"1.", b".5", b"+1", b"1e", b"--1", b"NaN", b"1e400", b"1e300")))
