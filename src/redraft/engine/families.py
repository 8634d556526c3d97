"""The families of the shipped engine: block diffusion with uniform noise, and left-to-right decoding."""

from collections.abc import Mapping, Sequence

import torch

from redraft.config import PREFILL_CHUNK
from redraft.constraints.inference import ConstrainedRows, label_probabilities, predict_many
from redraft.diffusion.predict import Prediction, predict, tempered_logits
from redraft.diffusion.process import Place
from redraft.diffusion.schedule import noise_proportion
from redraft.engine.model_state import Outcome, Run, StepRecord, Work
from redraft.engine.request import Phase, Request
from redraft.engine.steering import AutomatonSteering, Committed
from redraft.errors import ModelFailure, RedraftError
from redraft.kernels.random import Stream
from redraft.model.masks import Role
from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Float, Int, Tensor

DRAW_STREAMS = (Stream.EDGE, Stream.CLASS, Stream.TOKEN)  # of a joint draw under a constraint


class BlockDiffusion:
    """Prefill, then canvas after canvas: denoise until the stop rule or the step limit, commit, append, go on.

    prefill_chunks: of a prompt in one engine step. folds_commits: a finished canvas is appended in the same pass as the
    next one's first denoising step, which reads the weights once for both; else in a pass of its own, with fewer rows.
    """

    def __init__(self, model: DiffusionTransformer, prefill_chunks: int = 1, folds_commits: bool = False):
        self.model = model
        self.prefill_chunks = prefill_chunks
        self.folds_commits = folds_commits

    def next_work(self, request: Request) -> list[Work]:
        """See ModelFamily."""
        is_encoded = request.pending is None
        if request.phase is not Phase.DENOISING and (
            is_encoded or (self.folds_commits and request.phase is Phase.APPENDING)
        ):
            request.start_canvas(self._first_canvas(request))
        works = encoding_works(request, self.prefill_chunks)
        if request.phase is Phase.DENOISING:
            assert request.canvas is not None
            works.append(Work(token_ids=request.canvas, role=Role.DENOISE, signal=request.signal))
        return works

    def absorb(self, runs: Sequence[Run]) -> list[Outcome | RedraftError]:
        """See ModelFamily. Canvases under a constraint are predicted together, the others one by one."""
        prompt_logits = [take_encoded(self.model, run) for run in runs]
        denoised = {run.request: run.hidden[-1] for run in runs if run.works[-1].role is Role.DENOISE}
        predictions = predict_canvases(self.model, denoised)
        return [
            self._denoised(run.request, predictions[run.request])
            if run.request in predictions
            else Outcome(prompt_logits=logits)
            for run, logits in zip(runs, prompt_logits, strict=True)
        ]

    def _first_canvas(self, request: Request) -> Int[Tensor, "C"]:
        if request.canvas_index == 0 and request.first_canvas is not None:
            return request.first_canvas
        canvas = request.draws.first_canvas(request.canvas_index, request.canvas_length, self.model.vocab_size)
        if request.steering is not None:
            canvas = request.steering.start_canvas(canvas, request.num_tokens_left)
        return canvas

    def _denoised(self, request: Request, prediction: Prediction | RedraftError) -> Outcome | RedraftError:
        """One denoising step: accept, renoise, stop?"""
        if isinstance(prediction, RedraftError):
            return prediction
        rules, num_steps = request.rules, request.params.max_denoising_steps
        assert rules is not None and request.canvas is not None
        request.num_denoising_steps += 1
        accepted = rules.accept(prediction)
        record = StepRecord(
            canvas_index=request.canvas_index,
            denoising_step=request.denoising_step,
            prediction=prediction,
            accepted=accepted,
            previous_best=request.history[-1] if request.history else None,
            temperature=temperature_of(request),
        )
        is_done = rules.stop(request.history, prediction)
        if is_done or request.denoising_step + 1 == num_steps:
            return self._finish_canvas(request, record, is_done)
        place = Place(request.canvas_index, request.denoising_step)
        noise = request.draws.noise(place, request.canvas_length, self.model.vocab_size)
        canvas = rules.renoise(request.canvas, prediction, accepted, noise)
        # Only now: a canvas that ends here needs no signal.
        signal = self.model.soft_embedding(prediction.signal)
        request.denoised(canvas, signal, (*request.history, prediction.best))
        return Outcome(step=record)

    def _finish_canvas(self, request: Request, record: StepRecord, is_converged: bool) -> Outcome:
        """Commit; then the end of the reply, or the canvas goes into the cache."""
        committed = self._committed(request, record.prediction)
        request.commit(committed.token_ids, is_converged)
        if committed.is_complete:
            request.finish("stop")
        elif request.num_tokens_left == 0:
            # A constrained text is complete wherever its budget ends.
            request.finish("length" if request.steering is None else "stop")
        else:
            request.start_append(record.prediction.best)
        top, kept = record.prediction.top, slice(committed.first, committed.first + len(committed.token_ids))
        return Outcome(
            step=record,
            committed=committed,
            logprobs=record.prediction.best_logprob[kept],
            top=None if top is None else (top[0][kept], top[1][kept]),
        )

    def _committed(self, request: Request, prediction: Prediction) -> Committed:
        """What the finished canvas adds to the reply."""
        if request.steering is not None:
            return request.steering.commit(prediction.best.tolist())
        assert request.rules is not None
        token_ids = request.rules.commit(prediction)[: request.num_tokens_left]
        return Committed(token_ids, is_complete=token_ids[-1] in request.stop_ids)


class Reading(BlockDiffusion):
    """One denoising pass over a canvas that is then asked which of several labels it begins with."""

    def absorb(self, runs: Sequence[Run]) -> list[Outcome | RedraftError]:
        """See ModelFamily."""
        for run in runs:
            take_encoded(self.model, run)
        return [
            self._read(run.request, run.hidden[-1]) if run.works[-1].role is Role.DENOISE else Outcome() for run in runs
        ]

    def _read(self, request: Request, hidden: Float[Tensor, "C D"]) -> Outcome | RedraftError:
        try:
            tempered = tempered_logits(self.model.head(hidden), temperature_of(request), request.logit_rule)
            request.reading = label_probabilities(tempered, request.labels)
        except RedraftError as error:
            return error
        request.num_denoising_steps += 1
        request.finish("stop")
        return Outcome()


class Autoregressive:
    """One token after another from the causal role and the head: the baseline with the same weights."""

    def __init__(self, model: DiffusionTransformer, prefill_chunks: int = 1):
        self.model = model
        self.prefill_chunks = prefill_chunks

    def next_work(self, request: Request) -> list[Work]:
        """See ModelFamily."""
        return encoding_works(request, self.prefill_chunks)

    def absorb(self, runs: Sequence[Run]) -> list[Outcome | RedraftError]:
        """See ModelFamily."""
        return [self._absorb(run) for run in runs]

    def _absorb(self, run: Run) -> Outcome | RedraftError:
        """The row of the last known token says what comes next."""
        request = run.request
        prompt_logits = take_encoded(self.model, run)
        if request.pending is not None:
            return Outcome(prompt_logits=prompt_logits)
        index = len(request.token_ids)
        logits, steering = self.model.head(run.hidden[-1][-1:]), request.steering
        if steering is not None:
            assert isinstance(steering, AutomatonSteering), "an infill is never decoded left to right"
            logits = steering.masked(logits, request.num_tokens_left)
        try:
            place = Place(0, 0, index)
            prediction = predict(logits, 1.0, request.logit_rule, request.draws, place, num_committed=index)
        except RedraftError as error:
            return error
        # The draw is what this way of decoding commits.
        token_id = int(prediction.sample)
        request.decoded(token_id, prediction.sample)
        is_complete = steering.take(token_id) if steering is not None else token_id in request.stop_ids
        if is_complete:
            request.finish("stop")
        elif request.num_tokens_left == 0:
            request.finish("length" if steering is None else "stop")
        return Outcome(
            committed=Committed([token_id], is_complete),
            logprobs=torch.log_softmax(prediction.signal, dim=-1)[:, token_id],
            top=prediction.top,
            prompt_logits=prompt_logits,
        )


def predict_canvases(
    model: DiffusionTransformer, denoised: Mapping[Request, Float[Tensor, "C D"]]
) -> dict[Request, Prediction | RedraftError]:
    """The Prediction of each canvas from its hidden rows, or the error that ends its request."""
    free = {r: _predict_free(model, r, hidden) for r, hidden in denoised.items() if r.steering is None}
    steered = {r: _constrained_rows(model, r, hidden) for r, hidden in denoised.items() if r.steering is not None}
    return free | (_predict_steered(steered) if steered else {})


def temperature_of(request: Request) -> float:
    """The schedule's temperature at the request's denoising step."""
    assert request.rules is not None
    return request.rules.schedule(noise_proportion(request.denoising_step, request.params.max_denoising_steps))


def _predict_free(
    model: DiffusionTransformer, request: Request, hidden: Float[Tensor, "C D"]
) -> Prediction | RedraftError:
    try:
        return predict(
            model.head(hidden),
            temperature_of(request),
            request.logit_rule,
            request.draws,
            Place(request.canvas_index, request.denoising_step),
            num_committed=len(request.token_ids),
        )
    except RedraftError as error:
        return error


def _constrained_rows(model: DiffusionTransformer, request: Request, hidden: Float[Tensor, "C D"]) -> ConstrainedRows:
    rule = request.logit_rule
    assert request.steering is not None
    place = Place(request.canvas_index, request.denoising_step)
    return ConstrainedRows(
        tempered=tempered_logits(model.head(hidden), temperature_of(request), rule),
        placed=request.steering.placed,
        uniforms=torch.stack([request.draws.uniforms(place, len(hidden), stream) for stream in DRAW_STREAMS]),
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


def encoding_works(request: Request, prefill_chunks: int) -> list[Work]:
    """The next pending tokens, in pieces cut at multiples of PREFILL_CHUNK: so many of a prompt, all of a canvas."""
    if request.pending is None:
        return []
    assert request.cache is not None
    works, rest, held = [], request.pending, request.cache.length
    while len(rest) and (request.phase is not Phase.PREFILLING or len(works) < prefill_chunks):
        num_tokens = PREFILL_CHUNK - held % PREFILL_CHUNK
        works.append(Work(token_ids=rest[:num_tokens], role=Role.ENCODE))
        rest, held = rest[num_tokens:], held + num_tokens
    return works


def take_encoded(model: DiffusionTransformer, run: Run) -> Float[Tensor, "L V"] | None:
    """Make the encoded rows part of the cache, in place; the prompt's logits where the request asks for them.

    A whole chunk of a prompt is published: other requests that begin alike need not encode it.
    """
    request, is_prompt = run.request, run.request.phase is Phase.PREFILLING
    assert request.cache is not None
    encoded = [hidden for work, hidden in zip(run.works, run.hidden, strict=True) if work.role is Role.ENCODE]
    for hidden in encoded:
        request.cache.advance(len(hidden))
        request.encoded(len(hidden))
        if is_prompt and request.cache.length % PREFILL_CHUNK == 0:
            request.cache.publish(request.prompt_ids[request.cache.length - PREFILL_CHUNK : request.cache.length])
    if not (encoded and is_prompt and request.params.prompt_logprobs is not None):
        return None
    return model.head(torch.cat(encoded))
