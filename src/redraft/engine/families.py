"""The families of the shipped engine: block diffusion with uniform noise, and left-to-right decoding."""

import torch

from redraft.diffusion.predict import predict
from redraft.diffusion.process import Place
from redraft.diffusion.schedule import noise_proportion
from redraft.engine.model_state import Outcome, StepRecord, Work
from redraft.engine.request import Phase, Request
from redraft.model.masks import Role
from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Float, Int, Tensor

PREFILL_CHUNK = 256  # prompts are cut at multiples of this position, so that how they are fed never changes a result


class BlockDiffusion:
    """Prefill, then canvas after canvas: denoise until the stop rule or the step limit, commit, append, go on."""

    def __init__(self, model: DiffusionTransformer):
        self.model = model

    def next_work(self, request: Request) -> Work:
        """See ModelFamily."""
        if request.phase is Phase.DENOISING:
            assert request.canvas is not None
            return Work(token_ids=request.canvas, role=Role.DENOISE, signal=request.signal)
        return encoding_work(self.model, request)

    def absorb(self, request: Request, work: Work, hidden: Float[Tensor, "L D"]) -> Outcome:
        """See ModelFamily."""
        if work.role is Role.DENOISE:
            return self._denoised(request, hidden)
        prompt_logits = take_encoded(self.model, request, hidden)
        if request.pending is None:
            request.start_canvas(self._first_canvas(request))
        return Outcome(prompt_logits=prompt_logits)

    def _first_canvas(self, request: Request) -> Int[Tensor, "C"]:
        return request.draws.first_canvas(request.canvas_index, request.canvas_length, self.model.vocab_size)

    def _denoised(self, request: Request, hidden: Float[Tensor, "C D"]) -> Outcome:
        """One denoising step: predict, accept, renoise, stop?"""
        rules, num_steps = request.rules, request.params.max_denoising_steps
        assert rules is not None and request.canvas is not None
        place = Place(request.canvas_index, request.denoising_step)
        temperature = rules.schedule(noise_proportion(request.denoising_step, num_steps))
        prediction = predict(
            self.model.head(hidden),
            temperature,
            request.logit_rule,
            request.draws,
            place,
            num_committed=len(request.token_ids),
            signal=self.model.soft_embedding,
        )
        request.num_denoising_steps += 1
        accepted = rules.accept(prediction)
        record = StepRecord(
            canvas_index=request.canvas_index,
            denoising_step=request.denoising_step,
            prediction=prediction,
            accepted=accepted,
            previous_best=request.history[-1] if request.history else None,
            temperature=temperature,
        )
        is_done = rules.stop(request.history, prediction)
        if is_done or request.denoising_step + 1 == num_steps:
            committed = rules.commit(prediction)[: request.num_tokens_left]
            return self._finish_canvas(request, record, committed, is_done)
        noise = request.draws.noise(place, request.canvas_length, self.model.vocab_size)
        canvas = rules.renoise(request.canvas, prediction, accepted, noise)
        request.denoised(canvas, prediction.signal, (*request.history, prediction.best))
        return Outcome(step=record)

    def _finish_canvas(self, request: Request, record: StepRecord, committed: list[int], is_converged: bool) -> Outcome:
        """The end of the reply, or the canvas goes into the cache."""
        prediction, kept = record.prediction, slice(len(committed))
        request.commit(committed, is_converged)
        if committed[-1] in request.stop_ids:
            request.finish("stop")
        elif request.num_tokens_left == 0:
            request.finish("length")
        else:
            request.start_append(prediction.best)
        return Outcome(
            step=record,
            committed=tuple(committed),
            logprobs=prediction.best_logprob[kept],
            top=None if prediction.top is None else (prediction.top[0][kept], prediction.top[1][kept]),
        )


class Autoregressive:
    """One token after another from the causal role and the head: the baseline with the same weights."""

    def __init__(self, model: DiffusionTransformer):
        self.model = model

    def next_work(self, request: Request) -> Work:
        """See ModelFamily."""
        return encoding_work(self.model, request)

    def absorb(self, request: Request, work: Work, hidden: Float[Tensor, "L D"]) -> Outcome:
        """See ModelFamily. The row of the last known token says what comes next."""
        prompt_logits = take_encoded(self.model, request, hidden)
        if request.pending is not None:
            return Outcome(prompt_logits=prompt_logits)
        index = len(request.token_ids)
        prediction = predict(
            self.model.head(hidden[-1:]),
            1.0,
            request.logit_rule,
            request.draws,
            Place(0, 0, index),
            num_committed=index,
        )
        # The draw is what this way of decoding commits.
        token_id = int(prediction.sample)
        request.decoded(token_id, prediction.sample)
        if token_id in request.stop_ids:
            request.finish("stop")
        elif request.num_tokens_left == 0:
            request.finish("length")
        return Outcome(
            committed=(token_id,),
            logprobs=torch.log_softmax(prediction.signal, dim=-1)[:, token_id],
            top=prediction.top,
            prompt_logits=prompt_logits,
        )


def encoding_work(model: DiffusionTransformer, request: Request) -> Work:
    """The next tokens to encode; a prompt is cut at multiples of PREFILL_CHUNK. Starts a waiting request."""
    if request.phase is Phase.WAITING:
        prompt = torch.tensor(request.prompt_ids, device=model.device)
        request.start_prefill(model.new_cache(1, request.capacity), prompt)
    assert request.pending is not None and request.cache is not None
    num_tokens = len(request.pending)
    if request.phase is Phase.PREFILLING:
        num_tokens = min(num_tokens, PREFILL_CHUNK - request.cache.length % PREFILL_CHUNK)
    return Work(token_ids=request.pending[:num_tokens], role=Role.ENCODE)


def take_encoded(model: DiffusionTransformer, request: Request, hidden: Float[Tensor, "L D"]) -> Tensor | None:
    """Make the encoded rows part of the cache, in place; the prompt's logits [L, V] where the request asks for them."""
    wants_logits = request.phase is Phase.PREFILLING and request.params.prompt_logprobs is not None
    assert request.cache is not None
    request.cache.advance(len(hidden))
    request.encoded(len(hidden))
    return model.head(hidden) if wants_logits else None
