"""The native suite against plain torch, kernel by kernel, and its rows against their company."""

import math

import pytest
import torch

from redraft.kernels import native
from redraft.kernels.suite import PLAIN

state = native.native_state()
pytestmark = pytest.mark.skipif(not state.is_usable, reason=state.reason)

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
# Lengths around and between multiples of every vector width.
LENGTHS = pytest.mark.parametrize("length", [1, 7, 16, 24, 96, 131])
CLOSE = {torch.float32: {"rtol": 1e-5, "atol": 1e-5}, torch.bfloat16: {"rtol": 2e-2, "atol": 2e-2}}


@pytest.fixture(scope="module")
def suite():
    return native.native_suite()


def random(*shape, dtype=torch.float32, seed=0, scale=1.0):
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale).to(dtype)


def assert_close(got, wanted, dtype):
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    torch.testing.assert_close(got, wanted, **CLOSE[dtype])


@DTYPES
@LENGTHS
def test_norms_are_those_of_plain_torch(suite, dtype, length):
    x, base, weight = (random(*shape, length, dtype=dtype, seed=i) for i, shape in enumerate([(5,), (5,), ()]))
    assert_close(suite.norm(x, None, 1e-6), PLAIN.norm(x, None, 1e-6), dtype)
    assert_close(suite.norm(x[:, None], weight, 1e-6), PLAIN.norm(x[:, None], weight, 1e-6), dtype)
    assert_close(suite.add_norm(base, x, weight, 1e-6), PLAIN.add_norm(base, x, weight, 1e-6), dtype)


@DTYPES
@pytest.mark.parametrize("shares_kv", [False, True])
@pytest.mark.parametrize("size", [2, 24, 64, 128])
def test_heads_are_those_of_plain_torch(suite, dtype, shares_kv, size):
    projected = random(9, (4 + (1 if shares_kv else 2) * 2) * size, dtype=dtype)
    scales = [random(size, dtype=dtype, seed=i) for i in (1, 2)]
    arguments = (projected, *scales, random(9, 2, size, dtype=dtype, seed=3), 1e-6, 4, 2, shares_kv)
    for got, wanted in zip(suite.heads(*arguments), PLAIN.heads(*arguments), strict=True):
        assert_close(got, wanted, dtype)


@DTYPES
@pytest.mark.parametrize("shape", [(13, 13, 4, 2, 24), (82, 165, 4, 1, 48), (7, 131, 6, 3, 66), (1, 40, 2, 2, 8)])
@pytest.mark.parametrize("is_masked", [False, True])
def test_attention_is_that_of_plain_torch(suite, dtype, shape, is_masked):
    L, S, N, G, H = shape
    queries, keys, values = random(2, L, N, H), random(2, S, G, H, seed=1), random(2, S, G, H, seed=2)
    mask = torch.ones(L, S, dtype=torch.bool).tril(S - L) if is_masked else None
    wanted = PLAIN.attend(queries.to(dtype).float(), keys.to(dtype).float(), values.to(dtype).float(), mask)
    # Keys and values are views of longer buffers.
    keys, values = (torch.cat((rows, rows * math.nan), dim=1).to(dtype)[:, :S] for rows in (keys, values))
    got = suite.attend(queries.to(dtype), keys, values, mask)
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), wanted, **CLOSE[dtype])


def test_attention_over_a_long_context_is_left_to_torch(suite):
    queries, keys = random(1, 2, 2, 8), random(1, native.MAX_KEYS + 1, 1, 8, seed=1)
    assert torch.equal(suite.attend(queries, keys, keys), PLAIN.attend(queries, keys, keys))


@DTYPES
def test_a_query_depends_on_neither_its_company_nor_the_number_of_threads(suite, dtype):
    queries, keys, values = (random(3, n, h, 24, dtype=dtype, seed=n) for n, h in ((130, 4), (210, 2), (210, 2)))
    whole = suite.attend(queries, keys, values)
    num_threads = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for b, rows in ((0, slice(0, 1)), (1, slice(17, 49)), (2, slice(1, 130))):
                one = slice(b, b + 1)
                assert torch.equal(
                    suite.attend(queries[one, rows].contiguous(), keys[one], values[one]), whole[one, rows]
                )
    finally:
        torch.set_num_threads(num_threads)


@DTYPES
@LENGTHS
def test_the_gated_activation_is_that_of_plain_torch_at_any_size_of_its_input(suite, dtype, length):
    for scale in (0.01, 1.0, 30.0):
        gate_up = random(5, 2 * length, dtype=dtype, scale=scale)
        assert_close(suite.gated(gate_up), PLAIN.gated(gate_up), dtype)


@DTYPES
@LENGTHS
def test_softcapped_scores_are_fp32_and_those_of_plain_torch(suite, dtype, length):
    for scale in (0.01, 1.0, 100.0):
        scores = random(5, length, dtype=dtype, scale=scale)
        wanted = PLAIN.softcap(scores.clone(), 30.0)
        torch.testing.assert_close(suite.softcap(scores, 30.0), wanted, rtol=1e-5, atol=1e-5)


@DTYPES
@pytest.mark.parametrize(("num_experts", "num_chosen"), [(4, 2), (8, 1), (128, 8), (5, 5)])
def test_routing_is_that_of_plain_torch(suite, dtype, num_experts, num_chosen):
    scores, scale = random(40, num_experts, dtype=dtype, scale=3), random(num_experts, dtype=dtype, seed=1)
    got, wanted = suite.route(scores, scale, num_chosen), PLAIN.route(scores, scale, num_chosen)
    assert_close(got[0], wanted[0], torch.float32)
    # Equal bf16 scores may be taken in another order, so what is compared is each expert's weight.
    dense = [
        torch.zeros(40, num_experts).scatter(1, ids, weights.float() / scale[ids]) for _, ids, weights in (got, wanted)
    ]
    distinct = [len(set(row)) == num_experts for row in scores.tolist()]
    torch.testing.assert_close(dense[0][distinct], dense[1][distinct], **CLOSE[dtype])


def test_equal_scores_choose_the_lowest_experts(suite):
    _, ids, weights = suite.route(torch.zeros(3, 8), torch.ones(8), 3)
    assert ids.tolist() == [[0, 1, 2]] * 3
    torch.testing.assert_close(weights, torch.full((3, 3), 1 / 3))


def expert_problem(num_rows, num_experts, num_chosen, size, hidden, dtype):
    weights, expert_ids = torch.rand(num_rows, num_experts, generator=torch.Generator().manual_seed(1)).topk(num_chosen)
    gate_up = random(num_experts, 2 * hidden, size, seed=2, scale=size**-0.5).to(dtype)
    down = random(num_experts, hidden, size, seed=3, scale=hidden**-0.5).to(dtype)
    return random(num_rows, size, dtype=dtype), expert_ids, weights.to(dtype), gate_up, down


@DTYPES
@pytest.mark.parametrize(
    "shape", [(40, 4, 2, 96, 48), (7, 8, 1, 33, 17), (1, 4, 3, 24, 16), (130, 2, 2, 64, 40), (33, 16, 5, 70, 5)]
)
def test_experts_are_those_of_plain_torch(suite, dtype, shape):
    x, expert_ids, weights, gate_up, down = expert_problem(*shape, dtype)
    wanted = PLAIN.experts(
        *(a.float() if a.is_floating_point() else a for a in (x, expert_ids, weights, gate_up, down))
    )
    got = suite.experts(x, expert_ids, weights, suite.lay_out(gate_up), down)
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), wanted, **CLOSE[dtype])


def test_experts_refuse_weights_that_lie_otherwise_in_memory(suite):
    with pytest.raises(RuntimeError, match="contiguous"):
        suite.experts(*expert_problem(4, 4, 2, 24, 16, torch.float32))


@pytest.mark.parametrize("vocab_size", [2, 16, 300, 4096, 33_333])
@pytest.mark.parametrize("draw_temperature", [None, 0.5, 1.7])
def test_statistics_and_draws_are_those_of_plain_torch(suite, vocab_size, draw_temperature):
    logits = random(64, vocab_size, scale=4)
    logits[3, : vocab_size // 2] = -math.inf
    logits[5] = 1.25
    uniforms = torch.rand(64, generator=torch.Generator().manual_seed(1))
    temperatures = None if draw_temperature is None else torch.full((64,), draw_temperature)
    got, wanted = suite.statistics(logits, uniforms, temperatures), PLAIN.statistics(logits, uniforms, temperatures)
    for name in ("entropy", "best_logprob", "log_normaliser"):
        torch.testing.assert_close(getattr(got, name), getattr(wanted, name), rtol=1e-5, atol=1e-5)
    assert torch.equal(got.best, wanted.best)
    # Another order of summing moves a boundary between two ids by a rounding error, and seldom is a uniform in there.
    weights = (logits.double() / (draw_temperature or 1)).softmax(dim=-1).cumsum(dim=-1)
    for row in (got.sample != wanted.sample).nonzero().flatten().tolist():
        between = weights[row, min(got.sample[row], wanted.sample[row])]
        assert abs(between - uniforms[row]) < 1e-5


def test_statistics_without_uniforms_draw_nothing(suite):
    assert suite.statistics(random(3, 20), None, None).sample is None


# Each takes rows of 96 numbers and a weight of 96.
KERNELS_ON_ROWS = {
    "norm": lambda suite, x, w: suite.norm(x, w, 1e-6),
    "add_norm": lambda suite, x, w: suite.add_norm(x * 2, x, w, 1e-6),
    "heads": lambda suite, x, w: suite.heads(x, w[:24], w[24:48], turns_from(x), 1e-6, 2, 1, False)[0],
    "gated": lambda suite, x, w: suite.gated(x),
    "softcap": lambda suite, x, w: suite.softcap(x.clone(), 3.0),
    "route": lambda suite, x, w: suite.route(x, w, 7)[2],
    "entropy": lambda suite, x, w: suite.statistics(x.float(), x[:, 0].float().sigmoid(), None).entropy,
    "sample": lambda suite, x, w: suite.statistics(x.float(), x[:, 0].float().sigmoid(), None).sample,
}


def turns_from(x):
    return x[:, :48].reshape(-1, 2, 24).contiguous()


@DTYPES
@pytest.mark.parametrize("name", KERNELS_ON_ROWS)
def test_a_row_depends_on_neither_its_company_nor_the_number_of_threads(suite, dtype, name):
    run, x, weight = KERNELS_ON_ROWS[name], random(700, 96, dtype=dtype), random(96, dtype=dtype, seed=1)
    whole = run(suite, x, weight)
    num_threads = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for rows in (slice(0, 1), slice(3, 5), slice(40, 71), slice(1, 83), slice(189, 700)):
                assert torch.equal(run(suite, x[rows], weight), whole[rows]), (threads, rows)
    finally:
        torch.set_num_threads(num_threads)


@DTYPES
def test_an_experts_row_depends_on_neither_its_company_nor_the_number_of_threads(suite, dtype):
    x, expert_ids, weights, gate_up, down = expert_problem(200, 8, 2, 96, 48, dtype)
    gate_up = suite.lay_out(gate_up)
    whole = suite.experts(x, expert_ids, weights, gate_up, down)
    num_threads = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for rows in (slice(0, 1), slice(0, 32), slice(50, 114), slice(7, 200)):
                assert torch.equal(suite.experts(x[rows], expert_ids[rows], weights[rows], gate_up, down), whole[rows])
    finally:
        torch.set_num_threads(num_threads)


def test_a_machine_without_a_compiler_runs_plain_torch_and_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "find_compiler", lambda: None)
    native.native_suite.cache_clear()
    try:
        assert native.choose_kernels(torch.device("cpu"), "auto") is PLAIN
        with pytest.raises(native.LoadError, match=r"no C\+\+ compiler found"):
            native.choose_kernels(torch.device("cpu"), "native")
        assert not native.native_state().is_usable
    finally:
        native.native_suite.cache_clear()


def test_a_build_that_fails_is_not_tried_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "/bin/false")
    for _ in range(2):
        with pytest.raises(native.LoadError, match=r"the build failed, see .*redraft_native\.failed"):
            native.built_module()
        monkeypatch.setattr(native.subprocess, "run", lambda *_, **__: pytest.fail("it was tried again"))


def test_kernels_are_chosen_by_name():
    cpu = torch.device("cpu")
    assert native.choose_kernels(cpu, "torch") is PLAIN
    assert native.choose_kernels(cpu, "native").name == native.choose_kernels(cpu).name == "native"
    assert native.choose_kernels(torch.device("cuda")) is PLAIN
    with pytest.raises(native.LoadError, match="kernels='native' on cuda"):
        native.choose_kernels(torch.device("cuda"), "native")
