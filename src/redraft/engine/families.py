"""The families of the shipped engine: block diffusion with uniform noise (DiffusionGemma)."""

import torch

from redraft.diffusion.predict import Prediction, predict
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
        if request.phase is Phase.WAITING:
            prompt = torch.tensor(request.prompt_ids, device=self.model.device)
            request.start_prefill(self.model.new_cache(1, request.capacity), prompt)
        if request.phase is Phase.DENOISING:
            return Work(token_ids=request.canvas, role=Role.DENOISE, signal=request.signal)
        num_tokens = len(request.pending)
        if request.phase is Phase.PREFILLING:
            num_tokens = min(num_tokens, PREFILL_CHUNK - request.cache.length % PREFILL_CHUNK)
        return Work(token_ids=request.pending[:num_tokens], role=Role.ENCODE)

    def absorb(self, request: Request, work: Work, hidden: Float[Tensor, "L D"]) -> Outcome:
        """See ModelFamily."""
        if work.role is Role.DENOISE:
            return self._denoised(request, hidden)
        wants_logits = request.phase is Phase.PREFILLING and request.params.prompt_logprobs is not None
        request.cache.advance(len(work.token_ids))
        request.encoded(len(work.token_ids))
        if request.pending is None:
            request.start_canvas(self._first_canvas(request))
        return Outcome(prompt_logits=self.model.head(hidden) if wants_logits else None)

    def _first_canvas(self, request: Request) -> Int[Tensor, "C"]:
        return request.draws.first_canvas(request.canvas_index, request.canvas_length, self.model.vocab_size)

    def _denoised(self, request: Request, hidden: Float[Tensor, "C D"]) -> Outcome:
        """One denoising step: predict, accept, renoise, stop?"""
        rules, num_steps = request.rules, request.params.max_denoising_steps
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
            return self._finish_canvas(request, prediction, record, is_done)
        noise = request.draws.noise(place, request.canvas_length, self.model.vocab_size)
        canvas = rules.renoise(request.canvas, prediction, accepted, noise)
        request.denoised(canvas, prediction.signal, (*request.history, prediction.best))
        return Outcome(step=record)

    def _finish_canvas(
        self, request: Request, prediction: Prediction, record: StepRecord, is_converged: bool
    ) -> Outcome:
        """Commit; then the end of the reply, or the canvas goes into the cache."""
        committed = request.rules.commit(prediction)[: request.num_tokens_left]
        request.commit(committed, is_converged)
        if committed[-1] in request.stop_ids:
            request.finish("stop")
        elif request.num_tokens_left == 0:
            request.finish("length")
        else:
            request.start_append(prediction.best)
        return Outcome(step=record, committed=tuple(committed), prediction=prediction)
