from redraft.benchmark.hole_length import measure


def test_equal_terms_find_planted_lengths_that_plain_scoring_misses():
    outcomes = {outcome.rule: outcome for outcome in measure(signal=2.0, num_suffix=8, num_trials=6)}
    assert outcomes["equal terms, posterior"].found == 1.0
    assert outcomes["equal terms, best path"].mean_error < -5
    assert outcomes["all scored, posterior"].mean_error > 5
