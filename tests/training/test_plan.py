"""A dry run: what is counted, and what is measured here."""

from dataclasses import replace

import pytest
import torch

from redraft.model.transformer import random_model
from redraft.training import plan as plan_file
from redraft.training.config import RunConfig
from redraft.training.data import BlankSource
from redraft.training.lora import LoraConfig
from redraft.training.objective import Objective, training_loss
from redraft.training.plan import describe, make_plan


@pytest.fixture
def config(make_config) -> RunConfig:
    return RunConfig(name="tiny", model=make_config(), source=BlankSource(20, 12), batch_size=6, updates=5)


def kept_bytes(config) -> int:
    """What autograd keeps of one batch besides the parameters."""
    model = random_model(config.model)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept, alive = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        groups = config.source.batch(0, config.batch_size)
        loss = training_loss(model, groups, config.objective, torch.Generator().manual_seed(0))
    assert loss.total.requires_grad
    return sum(kept.values())


def test_parameters_and_tokens_are_counted(config):
    plan = make_plan(replace(config, accumulate=2))
    assert plan.parameters == plan.trained == sum(p.numel() for p in random_model(config.model).parameters())
    assert (plan.updates, plan.examples, plan.tokens) == (5, 12, 2 * 6 * (20 + 12))
    assert make_plan(replace(config, updates=None)).updates is None


@pytest.mark.parametrize("on_canvas", [False, True])
def test_memory_for_activations_is_near_what_autograd_keeps(config, on_canvas):
    from redraft.training.recipes import mini_model

    wide = replace(
        config,
        model=mini_model(),
        source=BlankSource(40, 64),
        objective=Objective(autoregressive_on_canvas=on_canvas),
    )
    assert make_plan(wide).activation_bytes == pytest.approx(kept_bytes(wide), rel=0.15)


def test_an_adapter_takes_less_memory_for_weights_and_running_layers_again_less_for_activations(config):
    lora = make_plan(replace(config, lora=LoraConfig(rank=1), base="tiny"))
    assert lora.trained < lora.parameters and lora.weight_bytes < make_plan(config).weight_bytes
    again = make_plan(replace(config, recompute=True))
    assert again.activation_bytes < make_plan(config).activation_bytes


def test_a_dry_run_says_length_memory_and_time(config):
    first, length, memory, elsewhere, here = describe(config)
    assert first.startswith("tiny: 0.")
    assert length == "length: 5 updates of 6 examples, 192 tokens each"
    assert " for activations" in memory and "TFLOP/s" in elsewhere
    assert "examples/s" in here and here.startswith("here (cpu")


def test_what_does_not_fit_is_not_measured(config, monkeypatch):
    monkeypatch.setattr(plan_file, "_free_bytes", lambda device: 1000)
    assert describe(replace(config, updates=None))[-1] == "here: does not fit, 0 MiB of memory are free"
