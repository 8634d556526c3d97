"""Where the time of a denoising step goes in the engine, component by component."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from redraft.engine.engine import Engine
from redraft.kernels.suite import FusedLayer
from redraft.model.attention import Attention
from redraft.model.layer import Layer
from redraft.model.layers import GatedMLP
from redraft.model.moe import Router

REST = "rules, cache, Python"
# The two stretches of a fused layer: norms, projections, heads; projection, norms, router, experts, dense MLP.
FUSED = ("fused, before attention", "fused, after attention")
# Kernels by component; what is left of a module's or a function's time goes to its own component.
_KERNELS = {
    "attend": "attention",
    "experts": "experts",
    "norm": "norms, heads, gates",
    "add_norm": "norms, heads, gates",
    "heads": "norms, heads, gates",
    "gated": "norms, heads, gates",
    "route": "routers",
    "softcap": "softcap, statistics",
    "statistics": "softcap, statistics",
}
_MODULES: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {
    Attention: ("projections", ("qkv", "out")),
    GatedMLP: ("dense MLPs", ("gate_up", "down")),
    Router: ("routers", ("proj",)),
}


@dataclass(frozen=True)
class _ClockedLayer:
    """A FusedLayer whose two stretches are timed."""

    before: Callable[..., Any]
    after: Callable[..., Any]


class Clock:
    """Seconds by component. What runs inside another component counts for itself alone."""

    def __init__(self, is_cuda: bool):
        self.seconds: dict[str, float] = defaultdict(float)
        self._is_cuda = is_cuda
        self._open: list[str] = []
        self._last = 0.0

    def timed(self, component: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose time goes to `component`."""

        def run(*arguments: Any, **options: Any) -> Any:
            self._tick()
            self._open.append(component)
            try:
                return function(*arguments, **options)
            finally:
                self._tick()
                self._open.pop()

        return run

    def _tick(self) -> None:
        if self._is_cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._last
        self._last = now


@contextmanager
def clocked(engine: Engine) -> Iterator[Clock]:
    """A clock on every part of an engine's step, taken off again at the end. The engine must be idle."""
    model, clock = engine.model, Clock(engine.model.device.type == "cuda")
    timed: list[tuple[object, str]] = []
    fused: dict[Layer, FusedLayer] = {}

    def put(owner: Any, name: str, component: str) -> None:
        owner.__dict__[name] = clock.timed(component, getattr(owner, name))
        timed.append((owner, name))

    for module in model.modules():
        component, names = _MODULES.get(type(module), ("", ()))
        for name in names:
            put(getattr(module, name), "forward", component)
    put(model, "head", "head")
    put(model, "soft_embedding", "soft embedding")
    put(engine.runner, "run", REST)
    for layer in model.modules():
        if isinstance(layer, Layer) and layer.fused is not None:
            fused[layer] = layer.fused
            stretches = (layer.fused.before, layer.fused.after)
            layer.fused = _ClockedLayer(*map(clock.timed, FUSED, stretches))
    kernels = model.kernels
    model.kernels = replace(
        kernels, **{name: clock.timed(component, getattr(kernels, name)) for name, component in _KERNELS.items()}
    )
    try:
        yield clock
    finally:
        model.kernels = kernels
        for layer, stretches in fused.items():
            layer.fused = stretches
        for owner, name in timed:
            del owner.__dict__[name]


def step_breakdown(engine: Engine, run: Callable[[], object], num_steps: int, repeats: int) -> Mapping[str, float]:
    """Milliseconds per denoising step of each component, of the fastest of `repeats` runs; prefill included.

    `run` runs `num_steps` steps. The clock itself takes about a microsecond a call.
    """
    runs = []
    for _ in range(repeats):
        with clocked(engine) as clock:
            run()
        runs.append({component: seconds / num_steps * 1e3 for component, seconds in clock.seconds.items()})
    return min(runs, key=lambda each: sum(each.values()))
