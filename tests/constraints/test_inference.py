import itertools
import math

import numpy as np
import pytest
import torch

from redraft.constraints.inference import (
    ConstrainedRows,
    label_probabilities,
    log_prices,
    place,
    predict_constrained,
    predict_many,
)
from redraft.constraints.lattice import advance, universal_automaton, unroll
from redraft.errors import InvalidRequest, ModelFailure

FILL = 0


def rows_of(logits, lattice, seed=0, **options):
    uniforms = torch.rand(3, len(logits), generator=torch.Generator().manual_seed(seed))
    return ConstrainedRows(tempered=logits.clone(), placed=place(lattice), uniforms=uniforms, **options)


def run(automaton, start, ids):
    for token in ids:
        start = advance(automaton, start, int(token))
    return start


def valid_texts(table, distance, start, num_positions, tokens_left, allowed=None):
    """Every id sequence of a canvas that keeps to the automaton and can still be finished."""
    for ids in itertools.product(range(table.shape[1]), repeat=num_positions):
        state = start
        for position, token in enumerate(ids):
            state = table[state, token]
            if state < 0 or (allowed and position in allowed and token not in allowed[position]):
                break
        else:
            if distance[state] <= tokens_left - num_positions:
                yield ids


def brute_force(logits, texts):
    """log Z, marginals [n, V], the best text (ties: lowest ids first) and the texts' probabilities."""
    logits = logits.double().numpy()
    scores = np.array([sum(logits[i, token] for i, token in enumerate(ids)) for ids in texts])
    log_z = scores.max() + math.log(np.exp(scores - scores.max()).sum())
    marginals = np.zeros(logits.shape)
    for ids, score in zip(texts, scores, strict=True):
        for i, token in enumerate(ids):
            marginals[i, token] += math.exp(score - log_z)
    return log_z, marginals, texts[int(np.argmax(scores))], np.exp(scores - log_z)


def marginals_of(prediction) -> np.ndarray:
    """[positions, V] from a prediction asked for all ids."""
    ids, logprobs = prediction.top
    return torch.zeros_like(logprobs).scatter_(1, ids, logprobs.exp()).numpy()


@pytest.mark.parametrize("seed", range(12))
def test_partition_function_marginals_and_best_text_are_those_of_brute_force(random_automaton, seed):
    rng = np.random.default_rng(seed)
    vocab_size, num_positions = int(rng.integers(3, 7)), int(rng.integers(1, 5))
    tokens_left = num_positions + int(rng.integers(0, 3))
    table, automaton = random_automaton(rng, 4, vocab_size, tokens_left)
    allowed = {0: np.arange(vocab_size)[rng.random(vocab_size) < 0.8]} if seed % 3 == 0 else None
    texts = list(valid_texts(table, automaton.distance, 0, num_positions, tokens_left, allowed))
    if not texts:
        pytest.skip("the allowed set leaves nothing")
    logits = torch.from_numpy(rng.normal(0, 4, (num_positions, vocab_size))).float()
    lattice = unroll(automaton, 0, num_positions, tokens_left, FILL, allowed)
    step = predict_constrained(rows_of(logits, lattice, num_top=vocab_size))
    log_z, marginals, best, _ = brute_force(logits, texts)
    found = marginals_of(step.prediction)
    assert step.log_mass == pytest.approx(log_z, abs=1e-5)
    assert step.prediction.log_z == pytest.approx(log_z - logits.logsumexp(-1).sum().item(), abs=1e-5)
    assert np.abs(found - marginals).max() < 1e-5
    possible = logits.masked_fill(torch.from_numpy(marginals == 0), -torch.inf)
    assert torch.equal(step.prediction.signal, possible), "what the model said, of the tokens possible there"
    alone = torch.distributions.Categorical(logits=possible).entropy()
    assert (step.prediction.entropy - alone).abs().max() < 1e-5
    assert tuple(step.prediction.best.tolist()) == best
    assert step.states[-1] == run(automaton, 0, best)
    assert step.prediction.best_logprob.numpy() == pytest.approx(
        np.log(marginals[range(num_positions), best]), abs=1e-4
    )


def test_free_means_more_than_one_possible_token(random_automaton):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        table, automaton = random_automaton(rng, 3, 4, 4, density=0.35)
        texts = np.array(list(valid_texts(table, automaton.distance, 0, 4, 4)))
        if len(texts):
            lattice = unroll(automaton, 0, 4, 4, FILL)
            options = [set(column) for column in texts.T]
            assert lattice.is_free.tolist() == [len(option) > 1 for option in options]
            assert all(f == -1 or {f} == option for f, option in zip(lattice.forced.tolist(), options, strict=True))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_are_joint_and_follow_the_conditioned_distribution(random_automaton, temperature):
    rng = np.random.default_rng(5)
    table, automaton = random_automaton(rng, 4, 4, 3, density=0.9)
    logits = torch.from_numpy(rng.normal(0, 1, (3, 4))).float()
    texts = list(valid_texts(table, automaton.distance, 0, 3, 3))
    probabilities = brute_force(logits / temperature, texts)[3]
    placed = place(unroll(automaton, 0, 3, 3, FILL))
    uniforms = torch.rand(250, 3, 3, generator=torch.Generator().manual_seed(1))
    counts = dict.fromkeys(texts, 0)
    for part in uniforms.split(200):
        rows = [
            ConstrainedRows(tempered=logits.clone(), placed=placed, uniforms=u, draw_temperature=temperature)
            for u in part
        ]
        for step in predict_many(rows):
            counts[tuple(step.prediction.sample.tolist())] += 1
    expected = probabilities * len(uniforms)
    chi_square = sum((counts[ids] - e) ** 2 / e for ids, e in zip(texts, expected, strict=True))
    degrees = len(texts) - 1
    assert degrees >= 5
    assert chi_square < degrees + 4 * math.sqrt(2 * degrees)


def test_draw_temperature_changes_the_draw_alone(random_automaton):
    rng = np.random.default_rng(3)
    _, automaton = random_automaton(rng, 4, 8, 6)
    logits = torch.from_numpy(rng.normal(0, 3, (6, 8))).float()
    lattice = unroll(automaton, 0, 6, 6, FILL)
    plain = predict_constrained(rows_of(logits, lattice)).prediction
    cold = predict_constrained(rows_of(logits, lattice, draw_temperature=0.3)).prediction
    frozen = predict_constrained(rows_of(logits, lattice, draw_temperature=0.0)).prediction
    for other in (cold, frozen):
        assert torch.equal(plain.entropy, other.entropy) and torch.equal(plain.signal, other.signal)
        assert torch.equal(plain.best, other.best)
    assert torch.equal(frozen.sample, frozen.best)


def nasty_logits(rng, shape):
    """Logits of every kind that must not break a result: wide, coarse (bf16), tied, with -inf tokens and -inf rows."""
    kind = rng.integers(0, 6)
    logits = torch.from_numpy(rng.normal(0, 1, shape)).float()
    if kind == 0:
        return logits.sign() * 30 / 0.4
    if kind == 1:
        return (logits * 10).bfloat16().float()
    if kind == 2:
        return torch.zeros(shape)
    if kind == 3:
        return torch.where(torch.from_numpy(rng.random(shape) < 0.5), -torch.inf, logits)
    if kind == 4:
        logits[rng.random(shape[0]) < 0.5] = -torch.inf
        return logits
    return logits * 5000


def test_best_and_drawn_texts_are_valid_for_any_logits(random_automaton):
    rng = np.random.default_rng(11)
    for _ in range(30):
        _, automaton = random_automaton(rng, int(rng.integers(2, 9)), 12, 8)
        requests, lattices = [], []
        for canvas_length in rng.integers(1, 10, 3).tolist():
            tokens_left = max(int(automaton.distance[0]), int(rng.integers(1, 12)))
            lattice = unroll(automaton, 0, canvas_length, tokens_left, FILL)
            lattices.append((lattice, tokens_left - lattice.num_positions))
            temperature = float(rng.choice([0.0, 0.1, 1.0, 2.0]))
            logits = nasty_logits(rng, (canvas_length, 12))
            requests.append(rows_of(logits, lattice, int(rng.integers(99)), draw_temperature=temperature))
        for (lattice, later), step in zip(lattices, predict_many(requests), strict=True):
            prediction = step.prediction
            for ids in (prediction.best.tolist(), prediction.sample.tolist()):
                state = run(automaton, 0, ids[: lattice.num_positions])
                assert automaton.distance[state] <= later
                assert set(ids[lattice.num_positions :]) <= {FILL}
            assert step.states[-1] == run(automaton, 0, prediction.best[: lattice.num_positions])
            assert torch.isfinite(prediction.entropy).all() and (prediction.entropy >= 0).all()
            assert torch.isfinite(prediction.signal.softmax(-1)).all()
            assert torch.isfinite(prediction.best_logprob).all() and math.isfinite(prediction.log_z)


def test_a_request_gets_the_same_bits_alone_and_in_company(random_automaton):
    rng = np.random.default_rng(7)
    requests = []
    for _ in range(6):
        num_states = int(rng.integers(2, 40))
        _, automaton = random_automaton(rng, num_states, 50, 30, density=0.2)
        canvas_length = int(rng.integers(5, 30))
        tokens_left = max(int(automaton.distance[0]), int(rng.integers(3, 40)))
        lattice = unroll(automaton, 0, canvas_length, tokens_left, FILL)
        logits = torch.from_numpy(rng.normal(0, 5, (canvas_length, 50))).float()
        requests.append((logits, lattice, int(rng.integers(99)), float(rng.choice([0.7, 1.0]))))
    made = [lambda r=r: rows_of(r[0], r[1], r[2], draw_temperature=r[3], num_top=3) for r in requests]
    together = predict_many([make() for make in made])
    for make, step in zip(made, together, strict=True):
        alone = predict_constrained(make())
        for name in ("entropy", "sample", "best", "signal", "best_logprob"):
            assert torch.equal(getattr(alone.prediction, name), getattr(step.prediction, name)), name
        assert all(map(torch.equal, alone.prediction.top or (), step.prediction.top or ()))
        assert (alone.prediction.log_z, alone.log_mass) == (step.prediction.log_z, step.log_mass)
        assert alone.states.tolist() == step.states.tolist()


def test_equally_good_texts_give_the_lowest_ids(automaton_from_table):
    # From 0, token 5 or 2 to 1; tokens 4 or 3 to 2; both then take 1 or 0.
    table = np.full((4, 6), -1)
    table[0, [2, 5]], table[0, [3, 4]], table[1, [0, 1]], table[2, [0, 1]] = 1, 2, 3, 3
    automaton = automaton_from_table(table, [False, False, False, True])
    lattice = unroll(automaton, 0, 2, 2, FILL)
    assert predict_constrained(rows_of(torch.zeros(2, 6), lattice)).prediction.best.tolist() == [2, 0]
    logits = torch.zeros(2, 6)
    logits[0, 2] = -1
    assert predict_constrained(rows_of(logits, lattice)).prediction.best.tolist() == [3, 0]


def test_positions_after_the_budget_hold_the_fill_id_for_certain(automaton_from_table):
    automaton = automaton_from_table([[1, 1, 1], [1, 0, 1]], [False, True])
    lattice = unroll(automaton, 0, 5, 2, 2)
    prediction = predict_constrained(rows_of(torch.zeros(5, 3), lattice, num_top=1)).prediction
    assert lattice.forced[2:].tolist() == [2, 2, 2]
    assert prediction.best[2:].tolist() == prediction.sample[2:].tolist() == [2, 2, 2]
    assert prediction.entropy[2:].tolist() == [0, 0, 0] and not prediction.free[2:].any()
    assert torch.equal(prediction.signal.softmax(-1)[2:], torch.eye(3)[[2, 2, 2]])


def test_a_budget_of_exactly_the_distance_is_kept_and_one_less_is_refused(automaton_from_table):
    # aaab: the last of four tokens is forced once the budget is tight.
    table = [[0, 1], [-1, 2], [-1, 3], [-1, -1]]
    automaton = automaton_from_table(table, [False, False, False, True])
    lattice = unroll(automaton, 0, 2, 3, FILL)
    assert lattice.forced.tolist() == [1, 1]
    step = predict_constrained(rows_of(torch.tensor([[9.0, 0.0]] * 2), lattice))
    rest = unroll(automaton, int(step.states[-1]), 2, 1, FILL)
    assert predict_constrained(rows_of(torch.zeros(2, 2), rest)).prediction.best.tolist() == [1, FILL]
    with pytest.raises(InvalidRequest, match="no text of it fits the 2 tokens"):
        unroll(automaton, 0, 2, 2, FILL)


def test_a_path_that_every_logit_speaks_against_is_still_taken_exactly(automaton_from_table):
    # Only token 1 or 2 is possible; both lie thousands of nats under token 0 and differ by one.
    automaton = automaton_from_table([[-1, 1, 1, -1], [-1, -1, -1, -1]], [False, True])
    other = automaton_from_table([[2, 1, 1, -1], [-1, -1, -1, -1], [-1, -1, -1, 1]], [False, True, False])
    for built in (automaton, other):
        lattice = unroll(built, 0, 1, 1, FILL)
        logits = torch.tensor([[9000.0, 0.0, 1.0, 0.0]])
        prediction = predict_constrained(rows_of(logits, lattice, num_top=1)).prediction
        p = 1 / (1 + math.exp(-1))
        assert prediction.top[0].item() == 2
        assert prediction.top[1].exp().item() == pytest.approx(p, abs=1e-6)
        assert prediction.signal.softmax(-1)[0, 2].item() == pytest.approx(p, abs=1e-6)
        assert prediction.entropy[0].item() == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p), abs=1e-6)


def test_widely_spread_masses_take_the_exact_route(random_automaton):
    rng = np.random.default_rng(2)
    table, automaton = random_automaton(rng, 4, 6, 4, density=0.6)
    logits = torch.from_numpy(rng.normal(0, 700, (4, 6))).float()
    texts = list(valid_texts(table, automaton.distance, 0, 4, 4))
    log_z, marginals, best, _ = brute_force(logits, texts)
    step = predict_constrained(rows_of(logits, unroll(automaton, 0, 4, 4, FILL), num_top=6))
    assert step.log_mass == pytest.approx(log_z, rel=1e-6)
    assert np.abs(marginals_of(step.prediction) - marginals).max() < 1e-5
    assert tuple(step.prediction.best.tolist()) == best


def test_pins_and_sets_work_without_an_automaton():
    allowed = {1: np.array([4]), 3: np.array([7, 2])}
    lattice = unroll(universal_automaton(10), 0, 5, 5, FILL, allowed)
    logits = torch.randn(5, 10, generator=torch.Generator().manual_seed(0))
    prediction = predict_constrained(rows_of(logits, lattice)).prediction
    expected = logits.clone()
    expected[1, [i for i in range(10) if i != 4]] = -torch.inf
    expected[3, [i for i in range(10) if i not in (2, 7)]] = -torch.inf
    assert lattice.forced.tolist() == [-1, 4, -1, -1, -1]
    # One id, pinned or not, is certain whatever its logit.
    assert torch.allclose(prediction.signal.softmax(-1), expected.softmax(-1), atol=1e-5)
    assert prediction.free.tolist() == [True, False, True, True, True]
    assert prediction.best.tolist() == expected.argmax(-1).tolist()
    assert prediction.sample[1] == 4 and prediction.sample[3] in (2, 7)


def test_an_allowed_set_wins_over_logits_that_exclude_it():
    lattice = unroll(universal_automaton(4), 0, 2, 2, FILL, {0: np.array([1, 3])})
    logits = torch.tensor([[0.0, -torch.inf, 0.0, -torch.inf], [0.0, 0.0, 0.0, 0.0]])
    prediction = predict_constrained(rows_of(logits, lattice)).prediction
    assert prediction.best[0] == 1 and prediction.sample[0] in (1, 3)
    assert prediction.signal.softmax(-1)[0].tolist() == pytest.approx([0, 0.5, 0, 0.5])


def test_labels_share_the_mass_by_their_weight(automaton_from_table):
    # Labels "0 1" and "2", each then filled with 3.
    first = automaton_from_table([[1, -1, -1, -1], [-1, 2, -1, -1], [-1, -1, -1, 2]], [False, False, True])
    second = automaton_from_table([[-1, -1, 1, -1], [-1, -1, -1, 1]], [False, True])
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(4))
    p = logits.softmax(-1)
    weights = [(p[0, 0] * p[1, 1] * p[2, 3]).item(), (p[0, 2] * p[1, 3] * p[2, 3]).item()]
    placed = [place(unroll(a, 0, 3, 3, 3)) for a in (first, second)]
    shares, mass = label_probabilities(logits, placed)
    assert mass == pytest.approx(sum(weights), rel=1e-5)
    assert shares == pytest.approx([w / sum(weights) for w in weights], rel=1e-5)
    assert [math.exp(price) for price in log_prices(logits, placed)] == pytest.approx(weights, rel=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_numbers_are_a_model_failure(automaton_from_table, value):
    automaton = automaton_from_table([[0, 0]], [True])
    logits = torch.zeros(3, 2)
    logits[1, 0] = value
    with pytest.raises(ModelFailure, match=r"1 positions \(first: 1\)"):
        predict_constrained(rows_of(logits, unroll(automaton, 0, 3, 3, FILL)))
