"""The same engine on a GPU. Tolerances are relative: the norm of the difference over the norm of what is wanted."""

import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from redraft.benchmark.full_shape import tiny_config, unending_request
from redraft.config import EngineConfig
from redraft.diffusion.predict import _placed
from redraft.diffusion.process import _word_block
from redraft.engine.assembly import page_pool, shipped_families
from redraft.engine.request import Phase, Request
from redraft.engine.runner import Runner
from redraft.errors import RedraftError
from redraft.kernels.moe import experts_plain, experts_ragged
from redraft.kernels.random import _columns
from redraft.model.transformer import DiffusionTransformer, random_model

needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]
BF16, FP32 = 0.05, 1e-4


def relative(got, wanted):
    wanted = wanted.cpu().float()
    return ((got.cpu().float() - wanted).norm() / wanted.norm()).item()


def models(device, dtype):
    """The same weights in fp32 on a CPU and as asked. Every expert is chosen, so that no rounding changes a choice."""
    config = replace(tiny_config(), num_experts_per_token=tiny_config().num_experts)
    wanted = random_model(config, seed=2).eval().requires_grad_(False)
    got = random_model(config, seed=2).to(device=device, dtype=dtype).eval().requires_grad_(False)
    return got, wanted


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, BF16), (torch.float32, FP32)])
@torch.inference_mode()
def test_logits_of_both_roles_are_those_of_fp32_on_a_cpu(device, dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(512, (2, 300), generator=generator)
    canvas = torch.randint(512, (2, 16), generator=generator)
    results = []
    for model in models(device, dtype):
        cache = model.new_cache(batch_size=2)
        encoded = model.encode(prompt.to(model.device), cache)
        first = model.denoise(canvas.to(model.device), cache)
        results.append((encoded, first, model.denoise(canvas.to(model.device), cache, first / 0.6)))
    for got, wanted in zip(*results, strict=True):
        assert relative(got, wanted) < tolerance


@pytest.mark.parametrize("device", DEVICES)
def test_experts_in_ragged_groups_are_those_of_fp32_on_a_cpu(device):
    generator = torch.Generator().manual_seed(1)
    random = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    weights, expert_ids = torch.rand(300, 16, generator=generator).topk(4)
    x, gate_up, down = random(300, 64), random(16, 2 * 32, 64) * 64**-0.5, random(16, 32, 64) * 32**-0.5
    wanted = experts_plain(x, expert_ids, weights, gate_up, down)
    placed = [each.to(device, torch.bfloat16) for each in (x, weights, gate_up, down)]
    got = experts_ragged(placed[0], expert_ids.to(device), *placed[1:])
    assert relative(got, wanted) < BF16


# Experts are large enough to be sorted.
SHAPE = replace(tiny_config(), num_experts=80, moe_intermediate_size=256)


def denoising(model: DiffusionTransformer, num_requests: int) -> tuple[Runner, list[Request]]:
    """A runner, and requests in the middle of their first canvas."""
    requests = [unending_request(model, 40 + seed, num_steps=16, seed=seed) for seed in range(num_requests)]
    config = EngineConfig(max_batch=num_requests, cache_memory=2**26)
    runner, pool = Runner(model, shipped_families(model, config)), page_pool(model, config, 128)
    for request in requests:
        cache = pool.admit(request.prompt_ids, request.capacity, 0)
        assert cache is not None
        request.start_prefill(cache, runner.tensor(request.prompt_ids))
    for _ in range(3):
        runner.run(requests)
    assert all(request.phase is Phase.DENOISING for request in requests)
    return runner, requests


@pytest.fixture
def fake_cuda():
    """Tensors without numbers that say they are on a GPU: operations across devices fail, as do reads of a value."""
    remembered = (_word_block, _columns, _placed)
    for each in remembered:
        each.cache_clear()
    with FakeTensorMode():
        yield torch.device("cuda")
    for each in remembered:
        each.cache_clear()


class Uploads(TorchDispatchMode):
    """Operations that take a tensor from the host to the device, which waits for the device too."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        taken = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        if any(each.is_cuda for each in tree_leaves(made) if isinstance(each, torch.Tensor)):
            self.operations += [str(func) for each in taken if not each.is_cuda]
        return made


def blank_model(device: torch.device) -> DiffusionTransformer:
    """Without weights: drawing them wants a real device."""
    with torch.device("meta"):
        model = DiffusionTransformer(SHAPE)
    for name, weight in list(model.named_parameters()):
        owner, _, attribute = name.rpartition(".")
        blank = torch.empty(weight.shape, device=device, dtype=torch.bfloat16)
        setattr(model.get_submodule(owner), attribute, nn.Parameter(blank, requires_grad=False))
    return model


@pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="wants a CUDA build of torch, though no GPU")
def test_what_a_denoising_step_makes_stays_on_the_device_and_it_reads_back_once(fake_cuda, monkeypatch):
    waits = []

    def read(values):
        if not values.is_cuda:
            return [5] * len(values)  # ids of a prompt
        waits.append(values.shape)
        return [[False, False] for _ in values]  # no canvas is bad or done

    monkeypatch.setattr(FakeTensor, "tolist", read)
    runner, requests = denoising(blank_model(fake_cuda), 3)
    assert all(buffer.is_cuda for buffer in requests[0].cache._pool.buffers)
    waits.clear()
    with Uploads() as uploads:
        for _ in range(10):  # a block of random words is made among them
            outcomes = runner.run(requests)
            assert not any(isinstance(outcome, RedraftError) for outcome in outcomes.values()), outcomes
            assert all(request.canvas.is_cuda and request.signal.is_cuda for request in requests)
    assert waits == [(3, 2)] * 10
    assert not uploads.operations


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=needs_gpu)])
def test_a_denoising_step_of_several_requests_waits_for_the_device_once(device):
    runner, requests = denoising(random_model(SHAPE, device=device, dtype=torch.bfloat16), 3)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            for _ in range(10):  # a block of random words is made among them
                runner.run(requests)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([wait for wait in waits if "synchroniz" in str(wait.message)]) == 10


@pytest.mark.parametrize("device", DEVICES)
def test_requests_in_bf16_run_to_their_end(device):
    runner, requests = denoising(random_model(SHAPE, device=device, dtype=torch.bfloat16), 3)
    while requests[0].phase is not Phase.FINISHED:
        runner.run(requests)
    assert all(len(request.token_ids) == 3 * 16 for request in requests)
