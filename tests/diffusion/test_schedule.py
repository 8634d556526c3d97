import pytest

from redraft.diffusion.schedule import LinearTemperature, noise_proportion, starts_anew


def test_noise_falls_from_one_to_one_over_the_number_of_steps():
    proportions = [noise_proportion(step, 4) for step in range(4)]
    assert proportions == [1.0, 0.75, 0.5, 0.25]


def test_a_canvas_that_starts_anew_goes_through_the_noise_of_its_own_steps_each_time():
    assert [noise_proportion(step, 8, 3) for step in range(8)] == pytest.approx([1, 2 / 3, 1 / 3] * 2 + [1, 2 / 3])
    assert [starts_anew(step, 3) for step in range(8)] == [False, False, True, False, False, True, False, False]


@pytest.mark.parametrize("restart_after", [None, 4, 9])
def test_a_restart_that_never_comes_changes_no_noise(restart_after):
    assert [noise_proportion(step, 4, restart_after) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_temperature_runs_from_t_max_towards_t_min_and_never_reaches_it():
    schedule = LinearTemperature(t_min=0.4, t_max=0.8)
    temperatures = [schedule(noise_proportion(step, 48)) for step in range(48)]
    assert temperatures[0] == pytest.approx(0.8)
    assert temperatures[-1] == pytest.approx(0.4 + 0.4 / 48)
    assert temperatures == sorted(temperatures, reverse=True)


def test_a_single_step_has_the_highest_temperature():
    assert LinearTemperature(0.4, 0.8)(noise_proportion(0, 1)) == pytest.approx(0.8)
