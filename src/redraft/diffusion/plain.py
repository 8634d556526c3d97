"""generate_plain: the whole method as one visible loop over one request. Oracle of the engine, entry for research."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from redraft.config import GenerationDefaults, SamplingParams
from redraft.diffusion.commit import CommitBest
from redraft.diffusion.predict import LogitRule, Prediction, predict
from redraft.diffusion.process import CounterDraws, Draws, GeneratorDraws, Place
from redraft.diffusion.sampler import EntropyBound, UniformRenoise
from redraft.diffusion.schedule import LinearTemperature, noise_proportion, starts_anew
from redraft.diffusion.stopping import History, StableAndConfident
from redraft.errors import InvalidRequest
from redraft.kernels.suite import PLAIN, Kernels
from redraft.shapes import Bool, Int, Tensor


@runtime_checkable
class BareModel(Protocol):
    """What generate_plain needs of a model: three methods and two numbers."""

    @property
    def canvas_length(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    def new_cache(self, batch_size: int = 1) -> Any: ...
    def encode(self, input_ids: Tensor, cache: Any, logits: bool = True) -> Any: ...
    def denoise(self, canvas: Tensor, cache: Any, self_conditioning_logits: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class FilledRules:
    """The five rules of the loop."""

    schedule: Callable[[float], float]  # noise proportion -> temperature
    accept: Callable[[Prediction], Bool[Tensor, "C"]]
    renoise: Callable[..., Int[Tensor, "C"]]  # (canvas, prediction, accepted, noise) -> next canvas
    stop: Callable[[History, Prediction], bool | Tensor]
    commit: Callable[[Prediction], list[int]]


@dataclass(frozen=True)
class Rules:
    """Rules to use in place of those that a request's params describe; None leaves the params' own."""

    schedule: Callable[[float], float] | None = None
    accept: Callable[[Prediction], Bool[Tensor, "C"]] | None = None
    renoise: Callable[..., Int[Tensor, "C"]] | None = None
    stop: Callable[[History, Prediction], bool | Tensor] | None = None
    commit: Callable[[Prediction], list[int]] | None = None

    def filled(self, params: SamplingParams, stop_ids: tuple[int, ...]) -> FilledRules:
        """All five, each None built from resolved params."""
        constrained_stop_ids = None if params.constraint is None else stop_ids
        p: Any = params  # resolved: nothing below is None
        return FilledRules(
            schedule=self.schedule or LinearTemperature(p.t_min, p.t_max),
            accept=self.accept or EntropyBound(p.entropy_bound),
            renoise=self.renoise or UniformRenoise(),
            stop=self.stop or StableAndConfident(p.stability_threshold, p.confidence_threshold, constrained_stop_ids),
            commit=self.commit or CommitBest(stop_ids),
        )


RULES_FROM_PARAMS = Rules()

# What generate_plain cannot honour: it sees ids and no text, runs nothing else, and returns the ids alone.
_REFUSED = ("stop", "constraint", "deadline", "logprobs", "prompt_logprobs", "record_trace")


@torch.no_grad()
def generate_plain(
    model: BareModel,
    prompt_ids: Sequence[int] | Tensor,
    params: SamplingParams,
    generator: torch.Generator | int,
    rules: Rules = RULES_FROM_PARAMS,
) -> list[int]:
    """The committed ids of one reply, cut after the first stop id and at max_tokens.

    `prompt_ids`: a list, or a [1, T] tensor, whose device is then used. `generator`: a torch.Generator, advanced in
    place exactly as transformers' `generate` advances the global one; or a seed, which draws what an engine draws and
    takes the model's own kernels for it.
    Raises InvalidRequest for params that need an engine.
    """
    prompt = _check_prompt(prompt_ids, model.vocab_size)
    stop_ids = _stop_ids(params, model)
    params = _check_params(params, model, generator)
    max_tokens: Any = params.max_tokens
    in_use = rules.filled(params, stop_ids)
    rule = LogitRule.from_params(params, stop_ids, model.vocab_size)
    if isinstance(generator, torch.Generator):
        draws, kernels = GeneratorDraws(generator, prompt.device), PLAIN
    else:
        draws, kernels = CounterDraws(generator, prompt.device), getattr(model, "kernels", PLAIN)

    cache = model.new_cache(batch_size=1)
    reply: list[int] = []
    canvas_index = 0
    pending = prompt
    while True:
        model.encode(pending, cache, logits=False)
        prediction = _denoise_canvas(model, cache, params, in_use, rule, draws, kernels, canvas_index, len(reply))
        committed = in_use.commit(prediction)
        if not committed:
            raise InvalidRequest(f"rules.commit={in_use.commit!r} committed nothing: want at least one id per canvas")
        reply += committed
        if committed[-1] in stop_ids or len(reply) >= max_tokens:
            return reply[:max_tokens]
        pending = torch.tensor([committed], device=prompt.device)
        canvas_index += 1


def _denoise_canvas(
    model: BareModel,
    cache: Any,
    params: Any,
    rules: FilledRules,
    rule: LogitRule,
    draws: Draws,
    kernels: Kernels,
    canvas_index: int,
    num_committed: int,
) -> Prediction:
    """The last denoising step's Prediction of one canvas, from fresh noise to the stop rule or the step limit."""
    canvas_length = params.canvas_length or model.canvas_length
    canvas = draws.first_canvas(canvas_index, canvas_length, model.vocab_size)
    history: list[Tensor] = []
    signal = None
    for denoising_step in range(params.max_denoising_steps):
        place = Place(canvas_index, denoising_step)
        is_last_of_try = starts_anew(denoising_step, params.restart_after)
        temperature = rules.schedule(noise_proportion(denoising_step, params.max_denoising_steps, params.restart_after))
        logits = model.denoise(canvas.unsqueeze(0), cache, self_conditioning_logits=signal)[0]
        prediction = predict(
            logits, temperature, rule, draws, place, num_committed=num_committed, make=kernels.statistics
        )
        accepted = torch.zeros_like(prediction.free) if is_last_of_try else rules.accept(prediction)
        # Drawn after the last step too, as the reference does: skipping it shifts every later draw of a Generator.
        noise = draws.noise(place, canvas_length, model.vocab_size)
        canvas = rules.renoise(canvas, prediction, accepted, noise)
        if rules.stop(history, prediction):
            break
        history = [] if is_last_of_try else [*history, prediction.best]
        signal = None if is_last_of_try else prediction.signal.unsqueeze(0)
    return prediction


def _check_params(params: SamplingParams, model: BareModel, generator: torch.Generator | int) -> SamplingParams:
    """The params with every default filled in (min_tokens 0); InvalidRequest names what cannot be honoured."""
    for name in _REFUSED:
        value = getattr(params, name)
        if value is not None and value is not False:
            raise InvalidRequest(f"{name}={value!r}: generate_plain cannot honour it, use an engine")
    if params.decoding != "diffusion":
        raise InvalidRequest(f"decoding={params.decoding!r}: generate_plain wants 'diffusion', use an engine")
    is_seed = isinstance(generator, int) and not isinstance(generator, bool) and 0 <= generator < 2**64
    if not is_seed and not isinstance(generator, torch.Generator):
        raise InvalidRequest(f"generator={generator!r}: want a torch.Generator or a seed from 0 to 2**64 - 1")
    if params.seed is not None and params.seed != generator:
        raise InvalidRequest(f"seed={params.seed}: generate_plain draws from its generator argument, leave seed out")
    if params.canvas_length is not None and params.canvas_length > model.canvas_length:
        raise InvalidRequest(f"canvas_length={params.canvas_length}: want 1 to {model.canvas_length}")
    resolved: Any = params.resolved(GenerationDefaults(), min_tokens=0)
    if resolved.min_tokens > resolved.max_tokens:
        raise InvalidRequest(f"min_tokens={params.min_tokens}: want at most max_tokens, {resolved.max_tokens}")
    return resolved


def _stop_ids(params: SamplingParams, model: BareModel) -> tuple[int, ...]:
    """The caller's stop ids in place of the model's; without either nothing but max_tokens ends the reply."""
    if params.stop_token_ids is not None:
        return tuple(params.stop_token_ids)
    return () if params.ignore_eos else tuple(getattr(model, "eos_token_ids", ()))


def _check_prompt(prompt_ids: Sequence[int] | Tensor, vocab_size: int) -> Tensor:
    """The prompt as [1, T] int64."""
    prompt = prompt_ids if isinstance(prompt_ids, Tensor) else torch.tensor([list(prompt_ids)], dtype=torch.long)
    if prompt.ndim != 2 or len(prompt) != 1 or prompt.shape[1] == 0:
        raise InvalidRequest(f"prompt_ids has the shape {tuple(prompt.shape)}: want [1, T] with T >= 1")
    lowest, highest = prompt.min().item(), prompt.max().item()
    if lowest < 0 or highest >= vocab_size:
        raise InvalidRequest(f"prompt_ids holds ids from {lowest} to {highest}: want 0 to {vocab_size - 1}")
    return prompt.long()
