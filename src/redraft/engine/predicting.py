"""Final hidden rows of many canvases -> what each request's rules read, and the verdict on each canvas."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from redraft.constraints.inference import ConstrainedRows, predict_many
from redraft.diffusion.predict import Asked, Prediction, not_numbers, predict_batch, temper
from redraft.diffusion.process import Place
from redraft.diffusion.schedule import noise_proportion
from redraft.engine.request import Request
from redraft.errors import ModelFailure, RedraftError
from redraft.kernels.random import Stream
from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Bool, Float, Tensor

DRAW_STREAMS = (Stream.EDGE, Stream.CLASS, Stream.TOKEN)  # of a joint draw under a constraint


@dataclass(frozen=True)
class Verdict:
    """A prediction whose logits were numbers, and whether the stop rule ends its canvas."""

    prediction: Prediction
    is_done: bool


def judged(
    model: DiffusionTransformer, denoised: Mapping[Request, Float[Tensor, "_ D"]]
) -> dict[Request, Verdict | RedraftError]:
    """The verdict on each canvas from its hidden rows, or the error that ends its request.

    Without constraints this reads from the device once, for all of them: the engine step's one wait.
    """
    predictions = predict_canvases(model, denoised) if denoised else {}
    verdicts: dict[Request, Verdict | RedraftError] = {}
    made: dict[Request, Prediction] = {}
    for request, each in predictions.items():
        if isinstance(each, Prediction):
            made[request] = each
        else:
            verdicts[request] = each
    flags = [torch.stack((each.entropy.isnan().any(), _stops(request, each))) for request, each in made.items()]
    facts = torch.stack(flags).tolist() if flags else []
    for (request, each), (is_bad, is_done) in zip(made.items(), facts, strict=True):
        verdicts[request] = not_numbers(each, place_of(request)) if is_bad else Verdict(each, is_done)
    return verdicts


def predict_canvases(
    model: DiffusionTransformer, denoised: Mapping[Request, Float[Tensor, "_ D"]]
) -> dict[Request, Prediction | RedraftError]:
    """The Prediction of each canvas, or the error that ends its request: one head for all."""
    free = [request for request in denoised if request.steering is None]
    steered = [request for request in denoised if request.steering is not None]
    logits = model.head(torch.cat([denoised[request] for request in (*free, *steered)]))
    num_free = sum(len(denoised[request]) for request in free)
    predictions: dict[Request, Prediction | RedraftError] = {}
    if free:
        asked = [_asked(request, len(denoised[request])) for request in free]
        predictions |= zip(free, predict_batch(logits[:num_free], asked, model.kernels.statistics), strict=True)
    if steered:
        parts = logits[num_free:].split([len(denoised[request]) for request in steered])
        rows = {request: _constrained_rows(request, part) for request, part in zip(steered, parts, strict=True)}
        predictions |= _predict_steered(rows)
    return predictions


def temperature_of(request: Request) -> float:
    """The schedule's temperature at the request's denoising step."""
    assert request.rules is not None
    params = request.params
    proportion = noise_proportion(request.denoising_step, params.max_denoising_steps, params.restart_after)
    return request.rules.schedule(proportion)


def place_of(request: Request) -> Place:
    """Where the request's canvas stands."""
    return Place(request.canvas_index, request.denoising_step)


def _asked(request: Request, num_rows: int) -> Asked:
    return Asked(
        num_rows=num_rows,
        temperature=temperature_of(request),
        rule=request.logit_rule,
        draws=request.draws,
        place=place_of(request),
        num_committed=len(request.token_ids),
    )


def _stops(request: Request, prediction: Prediction) -> Bool[Tensor, ""]:
    """Whether the stop rule ends the canvas, by the positions that decide what it adds to the reply."""
    assert request.rules is not None
    history = request.history
    if request.steering is not None:
        num_decisive = request.steering.num_decisive(len(prediction.best))
        history = [earlier[:num_decisive] for earlier in history]
        prediction = prediction.first(num_decisive)
    return torch.as_tensor(request.rules.stop(history, prediction), device=prediction.entropy.device)


def _constrained_rows(request: Request, logits: Float[Tensor, "C V"]) -> ConstrainedRows:
    """What the maker under a constraint takes; the logits become the tempered ones, in place."""
    rule, place = request.logit_rule, place_of(request)
    assert request.steering is not None
    temper(logits, temperature_of(request), rule)
    return ConstrainedRows(
        tempered=logits,
        placed=request.steering.placed,
        uniforms=torch.stack([request.draws.uniforms(place, len(logits), stream) for stream in DRAW_STREAMS]),
        draw_temperature=rule.temperature,
        num_top=rule.num_top,
    )


def _predict_steered(rows: Mapping[Request, ConstrainedRows]) -> dict[Request, Prediction | RedraftError]:
    """All constrained canvases in one pass; one whose logits are not numbers fails alone."""
    try:
        steps = dict(zip(rows, predict_many(list(rows.values())), strict=True))
    except ModelFailure as error:
        if len(rows) == 1:
            return dict.fromkeys(rows, error)
        return {request: _predict_steered({request: own})[request] for request, own in rows.items()}
    for request, step in steps.items():
        assert request.steering is not None
        request.steering.observe(step)
    return {request: step.prediction for request, step in steps.items()}
