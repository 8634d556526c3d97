import pytest
import torch

from redraft.cache.view import AutogradCache
from redraft.errors import InvalidRequest
from redraft.model.masks import Role, Segment
from redraft.model.transformer import PackedBatch, random_model

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def model(make_model):
    return make_model()


def ids(*shape, seed=0):
    return torch.randint(0, 61, shape, generator=torch.Generator().manual_seed(seed))


def held(model, tokens):
    cache = model.new_cache(batch_size=tokens.shape[0])
    model.encode(tokens, cache, logits=False)
    return cache


def test_logits_are_fp32_one_row_per_token(model):
    cache = model.new_cache()
    assert model.encode(ids(1, 7), cache).shape == (1, 7, 61)
    assert model.denoise(ids(1, 12), cache).shape == (1, 12, 61)
    assert model.denoise(ids(1, 12), cache).dtype == torch.float32


def test_encoding_is_causal(model):
    tokens = ids(1, 30)
    changed = tokens.clone()
    changed[0, 20] += 1
    before, after = model.encode(tokens, model.new_cache()), model.encode(changed, model.new_cache())
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.equal(before[:, 20], after[:, 20])


def test_encoding_in_pieces_equals_encoding_at_once(model):
    tokens, cache = ids(1, 45), model.new_cache()
    pieces = [model.encode(part, cache) for part in tokens.split([1, 17, 9, 18], dim=1)]
    torch.testing.assert_close(torch.cat(pieces, 1), model.encode(tokens, model.new_cache()), **CLOSE)


def test_every_canvas_position_sees_every_other(model):
    cache, canvas = held(model, ids(1, 20)), ids(1, 12)
    for changed in (0, 11):
        other = canvas.clone()
        other[0, changed] = (other[0, changed] + 1) % 61
        assert (model.denoise(canvas, cache) != model.denoise(other, cache)).any(-1).all()


def test_denoising_leaves_the_cache_as_it_was(model):
    cache, canvas = held(model, ids(1, 20)), ids(1, 12)
    first = model.denoise(canvas, cache)
    model.denoise(ids(1, 12, seed=1), cache)
    assert cache.length == 20
    assert torch.equal(model.denoise(canvas, cache), first)
    expected = model.encode(ids(1, 5, seed=2), held(model, ids(1, 20)))
    assert torch.equal(model.encode(ids(1, 5, seed=2), cache), expected)


def test_a_canvas_sees_only_tokens_before_it(model):
    """Clean tokens of the canvas's own place and later must not reach it."""
    tokens, canvas = ids(1, 40), ids(1, 12, seed=3)
    longer = held(model, tokens)
    longer.length = 20
    shorter = held(model, tokens[:, :20])
    torch.testing.assert_close(model.denoise(canvas, longer), model.denoise(canvas, shorter), **CLOSE)


def test_sliding_layers_show_a_whole_canvas_the_same_last_tokens(make_config):
    sliding = make_config().layers[0]
    model = random_model(make_config(layers=(sliding,))).eval().requires_grad_(False)
    tokens, canvas = ids(1, 30), ids(1, 12)
    logits = model.denoise(canvas, held(model, tokens))
    for token, is_seen in ((22, False), (23, True), (29, True)):  # window 8: the last seven
        changed = tokens.clone()
        changed[0, token] = (changed[0, token] + 1) % 61
        differs = (model.denoise(canvas, held(model, changed)) != logits).any(-1)
        assert differs.tolist() == [[is_seen] * 12]


def test_canvas_positions_continue_those_of_the_context(model):
    """Not counted from the canvas's start: the same canvas after more of the same token reads differently."""
    canvas = ids(1, 12)
    near, far = held(model, torch.full((1, 20), 5)), held(model, torch.full((1, 21), 5))
    assert not torch.allclose(model.denoise(canvas, near), model.denoise(canvas, far), **CLOSE)


def test_each_role_has_its_own_layer_scalars(make_model):
    model = make_model()
    canvas, tokens = ids(1, 12), ids(1, 20)
    encoded, denoised = model.encode(tokens, model.new_cache()), model.denoise(canvas, held(model, tokens))
    cache = held(model, tokens)
    model.layers[2].scalars.data[Role.DENOISE.value] *= 0.5
    assert torch.equal(model.encode(tokens, model.new_cache()), encoded)
    assert not torch.allclose(model.denoise(canvas, cache), denoised, **CLOSE)


def test_zero_signal_equals_no_signal_exactly(model):
    cache, canvas = held(model, ids(1, 20)), ids(12)
    segment = Segment(0, 1, 12, Role.DENOISE, cache)
    off = model.hidden(PackedBatch(canvas, None, (segment,)))
    zeros = model.hidden(PackedBatch(canvas, torch.zeros(12, 32), (segment,)))
    assert torch.equal(off, zeros)


def test_uniform_logits_are_a_signal_and_not_its_absence(model):
    cache, canvas = held(model, ids(1, 20)), ids(1, 12)
    uniform = model.denoise(canvas, cache, self_conditioning_logits=torch.zeros(1, 12, 61))
    assert not torch.allclose(uniform, model.denoise(canvas, cache), **CLOSE)


def test_requests_of_both_roles_packed_together_equal_each_alone(model):
    caches = [held(model, ids(1, n, seed=n)) for n in (3, 20, 33)]
    parts = [(Role.ENCODE, ids(14, seed=1)), (Role.DENOISE, ids(12, seed=2)), (Role.DENOISE, ids(9, seed=3))]
    signal = torch.randn(12, 32)
    alone, segments, start = [], [], 0
    for (role, tokens), cache in zip(parts, caches, strict=True):
        own = None
        if len(tokens) == 12:
            own = signal
        alone.append(model.hidden(PackedBatch(tokens, own, (Segment(0, 1, len(tokens), role, cache),))))
        segments.append(Segment(start, 1, len(tokens), role, cache))
        start += len(tokens)
    packed = PackedBatch(
        torch.cat([tokens for _, tokens in parts]),
        torch.cat((torch.zeros(14, 32), signal, torch.zeros(9, 32))),
        tuple(segments),
    )
    assert torch.equal(model.hidden(packed), torch.cat(alone))


def test_a_canvas_may_follow_its_own_commit_in_one_batch(model):
    prompt, committed, canvas = ids(1, 20), ids(1, 12, seed=1), ids(1, 12, seed=2)
    cache = held(model, torch.cat((prompt, committed), 1))
    cache_of_both = held(model, prompt)
    batch = PackedBatch(
        torch.cat((committed[0], canvas[0])),
        None,
        (Segment(0, 1, 12, Role.ENCODE, cache_of_both), Segment(12, 1, 12, Role.DENOISE, cache_of_both)),
    )
    logits = model.head(model.hidden(batch)[12:])
    torch.testing.assert_close(logits[None], model.denoise(canvas, cache), **CLOSE)
    cache_of_both.advance(12)
    torch.testing.assert_close(model.denoise(canvas, cache_of_both), model.denoise(canvas, cache), **CLOSE)


def test_rows_of_a_batch_equal_the_same_requests_alone(model):
    tokens, canvas = ids(3, 20), ids(3, 12)
    together = model.denoise(canvas, held(model, tokens))
    for row in range(3):
        alone = model.denoise(canvas[row : row + 1], held(model, tokens[row : row + 1]))
        assert torch.equal(together[row : row + 1], alone)


@pytest.mark.parametrize("length", [1, 2, 5, 31])
def test_short_inputs_are_padded_without_changing_them(model, length):
    tokens = ids(1, 40)
    cache = held(model, tokens[:, : 40 - length])
    torch.testing.assert_close(
        model.encode(tokens[:, 40 - length :], cache),
        model.encode(tokens, model.new_cache())[:, 40 - length :],
        **CLOSE,
    )


def test_routings_are_recorded_layer_by_layer_without_padding(model):
    routings = []
    segment = Segment(0, 1, 5, Role.ENCODE, model.new_cache())
    model.hidden(PackedBatch(ids(5), None, (segment,)), routings)
    assert [routing.probabilities.shape for routing in routings] == [(5, 4)] * 4
    assert [routing.expert_ids.shape for routing in routings] == [(5, 2)] * 4


@pytest.mark.parametrize("experts", [{}, {"hidden_size": 64, "moe_intermediate_size": 600}])
def test_every_parameter_learns(make_config, experts):
    config = make_config(**experts)
    model, cache = random_model(config), AutogradCache(config)
    tokens, canvas, signal = ids(2, 20), ids(2, 12), torch.zeros(64, config.hidden_size)
    signal[40:] = torch.randn(24, config.hidden_size)
    batch = PackedBatch(
        torch.cat((tokens.flatten(), canvas.flatten())),
        signal,
        (Segment(0, 2, 20, Role.ENCODE, cache), Segment(40, 2, 12, Role.DENOISE, cache)),
    )
    torch.nn.functional.cross_entropy(model.head(model.hidden(batch)), ids(64)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_training_rows_equal_inference_rows(model):
    tokens, canvas = ids(2, 30), ids(2, 12)
    cache = AutogradCache(model.config)
    model.encode(tokens, cache, logits=False)
    torch.testing.assert_close(model.denoise(canvas, cache), model.denoise(canvas, held(model, tokens)), **CLOSE)


def test_a_model_to_train_starts_near_a_uniform_prediction(make_config):
    model = random_model(make_config(), seed=1).requires_grad_(False)
    logits = model.denoise(ids(1, 12), held(model, ids(1, 20)))
    assert logits.std() < 3
    assert torch.equal(random_model(make_config(), seed=1).embedding.weight, model.embedding.weight)


def test_bf16_stays_near_fp32(make_model):
    model = make_model()
    tokens, canvas = ids(1, 20), ids(1, 12)
    exact = model.denoise(canvas, held(model, tokens))
    rounded = model.bfloat16().denoise(canvas, held(model, tokens))
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().mean() < 0.1


@pytest.mark.parametrize("shape", [(12,), (1, 0), (1, 2, 3)])
def test_inputs_of_another_shape_are_refused_by_name(model, shape):
    with pytest.raises((InvalidRequest, TypeError)):
        model.denoise(torch.zeros(shape, dtype=torch.long), model.new_cache())


def test_a_model_tells_what_it_is(model):
    assert (model.canvas_length, model.vocab_size, model.eos_token_ids) == (12, 61, (1,))
    assert (model.device.type, model.dtype) == ("cpu", torch.float32)
