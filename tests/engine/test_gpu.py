"""The same engine on a GPU. Tolerances are relative: the norm of the difference over the norm of what is wanted."""

import warnings
from dataclasses import replace

import pytest
import torch

from redraft.benchmark.full_shape import tiny_config, unending_request
from redraft.config import EngineConfig
from redraft.engine.assembly import page_pool, shipped_families
from redraft.engine.request import Phase, Request
from redraft.engine.runner import Runner
from redraft.kernels.moe import experts_plain, experts_ragged
from redraft.model.transformer import random_model

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


def denoising(device: str, num_requests: int) -> tuple[Runner, list[Request]]:
    """A runner, and requests in the middle of their first canvas; experts are large enough to be sorted."""
    shape = replace(tiny_config(), num_experts=80, moe_intermediate_size=256)
    model = random_model(shape, device=device, dtype=torch.bfloat16).eval().requires_grad_(False)
    requests = [unending_request(model, 40 + seed, num_steps=16, seed=seed) for seed in range(num_requests)]
    config = EngineConfig(max_batch=num_requests)
    runner, pool = Runner(model, shipped_families(model, config)), page_pool(model, config, 128)
    for request in requests:
        cache = pool.admit(request.prompt_ids, request.capacity, 0)
        assert cache is not None
        request.start_prefill(cache, runner.tensor(request.prompt_ids))
    for _ in range(3):
        runner.run(requests)
    assert all(request.phase is Phase.DENOISING for request in requests)
    return runner, requests


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=needs_gpu)])
def test_a_denoising_step_of_several_requests_waits_for_the_device_once(device):
    runner, requests = denoising(device, 3)
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
    runner, requests = denoising(device, 3)
    while requests[0].phase is not Phase.FINISHED:
        runner.run(requests)
    assert all(len(request.token_ids) == 3 * 16 for request in requests)
