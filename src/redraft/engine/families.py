"""The families of the shipped engine: block diffusion with uniform noise, and left-to-right decoding."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from redraft.config import PREFILL_CHUNK
from redraft.constraints.inference import label_probabilities
from redraft.diffusion.predict import Asked, Prediction, not_numbers, predict_batch, tempered_logits
from redraft.diffusion.process import Place
from redraft.diffusion.schedule import starts_anew
from redraft.engine.model_state import Outcome, Run, StepRecord, Work
from redraft.engine.predicting import Verdict, judged, place_of, temperature_of
from redraft.engine.request import Phase, Request
from redraft.engine.steering import AutomatonSteering, Committed
from redraft.errors import RedraftError
from redraft.model.masks import Role
from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Float, Int, Tensor


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
        """See ModelFamily. All canvases are predicted together."""
        prompt_logits = [take_encoded(self.model, run) for run in runs]
        denoised = {run.request: run.hidden[-1] for run in runs if run.works[-1].role is Role.DENOISE}
        verdicts = judged(self.model, denoised)
        return [
            self._denoised(run.request, verdicts[run.request])
            if run.request in verdicts
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

    def _denoised(self, request: Request, verdict: Verdict | RedraftError) -> Outcome | RedraftError:
        """One denoising step: accept, then renoise or finish."""
        if isinstance(verdict, RedraftError):
            return verdict
        prediction, is_done = verdict.prediction, verdict.is_done
        rules, num_steps = request.rules, request.params.max_denoising_steps
        assert rules is not None and request.canvas is not None
        request.num_denoising_steps += 1
        is_over = is_done or request.denoising_step + 1 == num_steps
        is_last_of_try = not is_over and starts_anew(request.denoising_step, request.params.restart_after)
        accepted = torch.zeros_like(prediction.free) if is_last_of_try else rules.accept(prediction)
        record = StepRecord(
            canvas_index=request.canvas_index,
            denoising_step=request.denoising_step,
            prediction=prediction,
            accepted=accepted,
            previous_best=request.history[-1] if request.history else None,
            temperature=temperature_of(request),
        )
        if is_over:
            return self._finish_canvas(request, record, is_done)
        noise = request.draws.noise(place_of(request), request.canvas_length, self.model.vocab_size)
        canvas = rules.renoise(request.canvas, prediction, accepted, noise)
        if is_last_of_try:
            request.denoised(canvas, None, ())
        else:
            # Only now: a canvas that ends here, or starts anew, needs no signal.
            request.denoised(canvas, self.model.soft_embedding(prediction.signal), (*request.history, prediction.best))
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
        """See ModelFamily. The row of a request's last known token says what comes next."""
        encoded = {run.request: Outcome(prompt_logits=take_encoded(self.model, run)) for run in runs}
        last = {run.request: run.hidden[-1][-1:] for run in runs if run.request.pending is None}
        tokens = self._next_tokens(last) if last else {}
        return [
            self._decoded(request, outcome, tokens[request]) if request in tokens else outcome
            for request, outcome in encoded.items()
        ]

    def _next_tokens(
        self, last: dict[Request, Float[Tensor, "1 D"]]
    ) -> dict[Request, tuple[Prediction, int] | RedraftError]:
        """The next token of each request, or the error that ends it; reads from the device once for all."""
        logits = self.model.head(torch.cat(list(last.values())))
        for row, request in zip(logits.split(1), last, strict=True):
            if request.steering is not None:
                assert isinstance(request.steering, AutomatonSteering), "an infill is never decoded left to right"
                row.copy_(request.steering.masked(row, request.num_tokens_left))
        asked = [_next_asked(request) for request in last]
        predictions = predict_batch(logits, asked, self.model.kernels.statistics)
        facts = torch.stack([torch.cat((each.sample, each.entropy.isnan())) for each in predictions]).tolist()
        return {
            request: not_numbers(prediction, one.place) if is_bad else (prediction, token_id)
            for request, one, prediction, (token_id, is_bad) in zip(last, asked, predictions, facts, strict=True)
        }

    def _decoded(
        self, request: Request, outcome: Outcome, step: tuple[Prediction, int] | RedraftError
    ) -> Outcome | RedraftError:
        """The draw is what this way of decoding commits."""
        if isinstance(step, RedraftError):
            return step
        (prediction, token_id), steering = step, request.steering
        request.decoded(token_id, prediction.sample)
        is_complete = token_id in request.stop_ids
        if isinstance(steering, AutomatonSteering):
            is_complete = steering.take(token_id)
        if is_complete:
            request.finish("stop")
        elif request.num_tokens_left == 0:
            request.finish("length" if steering is None else "stop")
        return replace(
            outcome,
            committed=Committed([token_id], is_complete),
            logprobs=torch.log_softmax(prediction.signal, dim=-1)[:, token_id],
            top=prediction.top,
        )


def _next_asked(request: Request) -> Asked:
    """How the row after the tokens of the reply so far is read."""
    index = len(request.token_ids)
    return Asked(
        num_rows=1,
        temperature=1.0,
        rule=request.logit_rule,
        draws=request.draws,
        place=Place(0, 0, index),
        num_committed=index,
    )


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
