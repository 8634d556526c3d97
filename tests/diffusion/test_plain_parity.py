"""generate_plain and its rules against transformers' own generate and samplers, on random small models."""

import itertools
import math
import random

import numpy as np
import pytest
import torch

import redraft
from redraft.checkpoint.fetch import resolve
from redraft.config import GenerationDefaults, SamplingParams
from redraft.diffusion.plain import Rules
from redraft.diffusion.predict import LogitRule, predict
from redraft.diffusion.process import GeneratorDraws, Place
from redraft.diffusion.sampler import EntropyBound
from redraft.diffusion.schedule import LinearTemperature, noise_proportion
from redraft.training.data import sudoku_prompts
from redraft.training.sudoku import make_paths

hf = pytest.importorskip("transformers", reason="transformers is the oracle of these tests")
oracle = pytest.importorskip("transformers.models.diffusion_gemma.generation_diffusion_gemma")

NO_EOS = 10_000  # an id that no model has


def random_config(rng):
    heads = rng.choice([2, 4])
    layers = rng.choice([2, 3])
    kinds = [rng.choice(["sliding_attention", "full_attention"]) for _ in range(layers)]
    kinds[0], kinds[-1] = "sliding_attention", "full_attention"
    text = hf.DiffusionGemmaTextConfig(
        vocab_size=rng.choice([61, 97, 160]),
        hidden_size=rng.choice([32, 48]),
        intermediate_size=40,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=rng.choice([1, 2]),
        head_dim=rng.choice([8, 16]),
        global_head_dim=rng.choice([16, 32]),
        num_global_key_value_heads=rng.choice([1, 2]),
        sliding_window=rng.choice([8, 16, 64]),
        layer_types=kinds,
        num_experts=4,
        top_k_experts=rng.choice([1, 2]),
        moe_intermediate_size=16,
        max_position_embeddings=256,
        use_bidirectional_attention="vision",
        final_logit_softcapping=rng.choice([10.0, 30.0]),
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    vision = hf.Gemma4VisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
    )
    return hf.DiffusionGemmaConfig(
        text_config=text,
        vision_config=vision,
        canvas_length=rng.choice([8, 12, 16]),
        boi_token_id=50,
        eoi_token_id=51,
        image_token_id=52,
    )


def random_model(seed, damped=False, settles=False):
    """A model with lively random weights. Damped: rounding errors stay small over steps. Settles: canvases converge."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    model = hf.DiffusionGemmaForBlockDiffusion(random_config(rng)).eval().float()
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("layer_scalar"):
                tensor.fill_(0.6 + 0.4 * rng.random())
            elif "norm" in name or name.endswith(("router.scale", "per_expert_scale")):
                tensor.copy_(1 + 0.2 * torch.randn_like(tensor))
            elif tensor.ndim >= 2 and "vision" not in name:
                tensor.copy_(torch.randn_like(tensor) * 1.2 / math.sqrt(tensor.shape[-1]))
        if damped:
            model.model.decoder.self_conditioning.down_proj.weight.mul_(0.01)
            model.model.decoder.norm.weight.mul_(4)
        if settles:  # layers add little to the embedding, so that an accepted token mostly predicts itself
            for name, tensor in model.named_parameters():
                if "post_" in name and "norm" in name:
                    tensor.mul_(0.5)
    model.set_attn_implementation("eager")
    return model


class Adapter:
    """transformers' model behind the methods that generate_plain calls; counts the denoising steps of each canvas."""

    def __init__(self, model):
        self.model = model
        self.canvas_length = model.config.canvas_length
        self.vocab_size = model.config.text_config.vocab_size
        self.steps = []

    def new_cache(self, batch_size=1):
        return hf.DynamicCache(config=self.model.config.get_text_config(decoder=True))

    def encode(self, input_ids, cache, logits=True):
        self.steps.append(0)
        start = cache.get_seq_length()
        positions = torch.arange(start, start + input_ids.shape[1])[None]
        self.model.model.encoder(input_ids=input_ids, past_key_values=cache, position_ids=positions)

    def denoise(self, canvas, cache, self_conditioning_logits=None):
        self.steps[-1] += 1
        return self.model(
            past_key_values=cache, decoder_input_ids=canvas, self_conditioning_logits=self_conditioning_logits
        ).logits


def prompt_for(model, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 50, (1, 5 + seed % 30), generator=generator)


def transformers_reply(model, prompt, seed, max_tokens, stop_id=NO_EOS, **params):
    torch.manual_seed(seed)
    output = model.generate(prompt, max_new_tokens=max_tokens, eos_token_id=[stop_id], pad_token_id=0, **params)
    reply = output.sequences[0, prompt.shape[1] :].tolist()
    if stop_id in reply:
        reply = reply[: reply.index(stop_id) + 1]
    return reply[:max_tokens]


def our_reply(model, prompt, seed, max_tokens, stop_id=None, **params):
    stop_ids = [] if stop_id is None else [stop_id]
    wanted = SamplingParams(max_tokens=max_tokens, stop_token_ids=stop_ids, **params)
    return redraft.generate_plain(model, prompt, wanted, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=[1, 2, 3])
def lively(request):
    return random_model(request.param), request.param


@pytest.fixture(scope="module", params=[5, 6, 7])
def damped(request):
    return random_model(request.param, damped=True), request.param


@pytest.fixture(scope="module", params=[6, 7])
def settling(request):
    return random_model(request.param, damped=True, settles=True), request.param


@pytest.mark.parametrize("seed", range(3))
def test_replies_of_several_canvases_to_the_step_limit_are_equal(lively, seed):
    model, model_seed = lively
    adapter, prompt = Adapter(model), prompt_for(model, model_seed)
    max_tokens = 3 * adapter.canvas_length - seed  # not always whole canvases
    reply = our_reply(adapter, prompt, seed, max_tokens, max_denoising_steps=6)
    assert reply == transformers_reply(model, prompt, seed, max_tokens, max_denoising_steps=6)
    assert adapter.steps == [6, 6, 6]


@pytest.mark.parametrize(("seed", "stability"), [(0, 1), (1, 1), (2, 2)])
def test_replies_of_canvases_that_stop_early_are_equal(settling, seed, stability):
    model, model_seed = settling
    adapter, prompt = Adapter(model), prompt_for(model, model_seed)
    params = {"max_denoising_steps": 12, "confidence_threshold": 0.1, "stability_threshold": stability}
    reply = our_reply(adapter, prompt, seed, 3 * adapter.canvas_length, **params)
    assert reply == transformers_reply(model, prompt, seed, 3 * adapter.canvas_length, **params)
    assert max(adapter.steps) < 12


def test_replies_with_the_end_token_inside_a_later_canvas_are_equal(lively):
    model, model_seed = lively
    prompt, length = prompt_for(model, model_seed), model.config.canvas_length
    free = transformers_reply(model, prompt, 1, 3 * length, max_denoising_steps=5)
    # The id that first appears furthest inside the second canvas: with it as end token the reply must end there.
    end = max(position for position in range(length, 2 * length) if free.index(free[position]) == position)
    for stop_id, expected in ((free[end], free[: end + 1]), (free[0], free[:1])):
        theirs = transformers_reply(model, prompt, 1, 3 * length, stop_id=stop_id, max_denoising_steps=5)
        ours = our_reply(Adapter(model), prompt, 1, 3 * length, stop_id=stop_id, max_denoising_steps=5)
        assert ours == theirs == expected


@pytest.mark.parametrize(
    "params",
    [{"entropy_bound": 2.5}, {"t_min": 0.1, "t_max": 1.7}, {"max_denoising_steps": 1}],
)
def test_replies_under_other_parameters_are_equal(params):
    model = random_model(8)
    prompt = prompt_for(model, 8)
    length = model.config.canvas_length
    theirs = dict(params)
    if "entropy_bound" in params:
        theirs = {"sampler_config": oracle.EntropyBoundSamplerConfig(entropy_bound=params["entropy_bound"])}
    steps = {"max_denoising_steps": 7}
    ours = our_reply(Adapter(model), prompt, 3, 2 * length, **(steps | params))
    assert ours == transformers_reply(model, prompt, 3, 2 * length, **(steps | theirs))


def test_without_the_noise_of_the_last_step_later_canvases_would_differ():
    """The trap is real: with that draw taken back, the reply departs from transformers' after the first canvas."""
    model = random_model(1)
    prompt, length = prompt_for(model, 1), model.config.canvas_length
    generator = torch.Generator().manual_seed(0)
    before_noise = []

    def accept(prediction):
        before_noise.append(generator.get_state())
        return EntropyBound(0.1)(prediction)

    def commit(prediction):
        generator.set_state(before_noise[-1])
        return prediction.best.tolist()

    wanted = SamplingParams(max_tokens=2 * length, max_denoising_steps=4, stop_token_ids=[])
    ours = redraft.generate_plain(Adapter(model), prompt, wanted, generator, Rules(accept=accept, commit=commit))
    theirs = transformers_reply(model, prompt, 0, 2 * length, max_denoising_steps=4)
    assert ours[:length] == theirs[:length]
    assert ours[length:] != theirs[length:]


# one denoising step at a time, on random logits


@pytest.mark.parametrize("num_steps", [1, 3, 16, 48])
@pytest.mark.parametrize(("t_min", "t_max"), [(0.4, 0.8), (0.05, 1.3)])
def test_tempered_logits_are_equal_to_the_bit(num_steps, t_min, t_max):
    logits = torch.randn(5, 300, generator=torch.Generator().manual_seed(0)) * 8
    theirs = oracle.LinearTemperatureScheduleLogitsProcessor(t_min, t_max, num_steps)
    for step in range(num_steps):
        temperature = LinearTemperature(t_min, t_max)(noise_proportion(step, num_steps))
        expected = theirs(None, logits, cur_step=torch.tensor(num_steps - step, dtype=torch.int32))
        assert torch.equal(logits / temperature, expected)


@pytest.mark.parametrize("scale", [0.5, 4.0, 12.0])
@pytest.mark.parametrize("bound", [0.02, 0.1, 3.0])
def test_accepted_set_argmax_and_stop_decision_are_equal_at_every_step(scale, bound):
    canvas_length, vocab_size, num_steps = 32, 90, 12
    generator = torch.Generator().manual_seed(int(scale * 10 + bound * 100))
    sampler = oracle.EntropyBoundSampler(
        oracle.EntropyBoundSamplerConfig(entropy_bound=bound), canvas_length, vocab_size, num_steps
    )
    stopper = oracle.StableAndConfidentStoppingCriteria(stability_threshold=2, confidence_threshold=1.0)
    temper = oracle.LinearTemperatureScheduleLogitsProcessor(0.4, 0.8, num_steps)
    params = SamplingParams(
        entropy_bound=bound, stability_threshold=2, confidence_threshold=1.0, max_denoising_steps=num_steps
    ).resolved(GenerationDefaults(), min_tokens=0)
    rules, rule = Rules().filled(params, ()), LogitRule.from_params(params, (), vocab_size)
    history, decisions = [], []
    logits = torch.randn(canvas_length, vocab_size, generator=generator) * scale
    for step in range(num_steps):
        if step % 5 == 4:  # now and then the prediction moves
            logits = torch.randn(canvas_length, vocab_size, generator=generator) * scale
        processed = temper(None, logits[None], cur_step=torch.tensor(num_steps - step, dtype=torch.int32))
        draws = GeneratorDraws(torch.Generator().manual_seed(step))
        temperature = rules.schedule(noise_proportion(step, num_steps))
        prediction = predict(logits, temperature, rule, draws, Place(0, step))
        sampler.accept_canvas(prediction.sample[None], prediction.sample[None], processed, None)
        expected_entropy = torch.distributions.Categorical(logits=processed).entropy()[0]
        torch.testing.assert_close(prediction.entropy, expected_entropy, atol=1e-5, rtol=1e-5)
        assert torch.equal(rules.accept(prediction), sampler.accepted_token_mask[0])
        assert torch.equal(prediction.best, processed[0].argmax(dim=-1))
        decisions.append(rules.stop(history, prediction))
        assert decisions[-1] == stopper(prediction.best[None], processed).item()
        history.append(prediction.best)
    assert any(decisions) == (scale > 1)


# our model in place of transformers'


def test_replies_over_our_model_are_equal_on_damped_weights(damped, tmp_path):
    model, model_seed = damped
    model.save_pretrained(tmp_path)
    ours = redraft.load_model(tmp_path, device="cpu", dtype="float32")
    prompt, length = prompt_for(model, model_seed), model.config.canvas_length
    for seed in range(3):
        reply = our_reply(ours, prompt, seed, 3 * length, max_denoising_steps=9)
        assert reply == transformers_reply(model, prompt, seed, 3 * length, max_denoising_steps=9)


def test_replies_of_the_shipped_model_are_those_transformers_gives(tmp_path):
    path = resolve("redraft-sudoku")
    theirs = hf.DiffusionGemmaForBlockDiffusion.from_pretrained(path, dtype=torch.float32).eval()
    theirs.set_attn_implementation("eager")
    ours = redraft.load_model(path)
    num_equal = 0
    for seed, (grid, rank) in enumerate(itertools.islice(make_paths(seed=77), 50)):
        puzzle = [digit if place >= 81 - 24 - seed % 23 else 0 for digit, place in zip(grid, rank, strict=True)]
        prompt = sudoku_prompts(np.array([puzzle]))
        wanted = transformers_reply(theirs, prompt, seed, 82, stop_id=1, max_denoising_steps=8)
        num_equal += our_reply(ours, prompt, seed, 82, stop_id=1, max_denoising_steps=8) == wanted
    assert num_equal >= 45, f"{num_equal} of 50: rounding may turn a decision now and then, not more often"
