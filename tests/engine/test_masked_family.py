"""Another kind of diffusion model through the same interface: masked diffusion, in the manner of LLaDA.

A canvas starts as mask tokens; every denoising step fills the surest of those that are left, and none is touched again.
No renoising, no self-conditioning, a number of steps known beforehand.
"""

import pytest
import torch

import redraft
from redraft import Commit, Draft, Finish, SamplingParams
from redraft.config import EngineConfig
from redraft.diffusion.predict import predict
from redraft.diffusion.process import Place
from redraft.engine.engine import Engine
from redraft.engine.families import encoding_works, take_encoded
from redraft.engine.model_state import ModelFamily, Outcome, StepRecord, Work
from redraft.engine.request import Phase
from redraft.engine.steering import Committed
from redraft.model.masks import Role

MASK = 0
PROMPT = "53..7....6..195"


class MaskedDiffusion:
    """Fills a share of the masks per step; the last step fills what is left."""

    def __init__(self, model):
        self.model = model

    def next_work(self, request):
        if request.phase is not Phase.DENOISING and request.pending is None:
            request.start_canvas(torch.full((request.canvas_length,), MASK))
        works = encoding_works(request, 1)
        if request.phase is Phase.DENOISING:
            works.append(Work(token_ids=request.canvas, role=Role.DENOISE))
        return works

    def absorb(self, runs):
        outcomes = []
        for run in runs:
            take_encoded(self.model, run)
            is_canvas = run.works[-1].role is Role.DENOISE
            outcomes.append(self._denoised(run.request, run.hidden[-1]) if is_canvas else Outcome())
        return outcomes

    def _denoised(self, request, hidden):
        place = Place(request.canvas_index, request.denoising_step)
        prediction = predict(self.model.head(hidden), 1.0, request.logit_rule, request.draws, place)
        num_steps, is_masked = request.params.max_denoising_steps, request.canvas == MASK
        num_filled = -(-int(is_masked.sum()) // (num_steps - request.denoising_step))
        surest = prediction.best_logprob.masked_fill(~is_masked, -torch.inf).topk(num_filled).indices
        accepted = torch.zeros_like(is_masked).index_fill(0, surest, True)
        canvas = torch.where(accepted, prediction.sample, request.canvas)
        record = StepRecord(
            canvas_index=request.canvas_index,
            denoising_step=request.denoising_step,
            prediction=prediction,
            accepted=accepted,
            previous_best=None,
            temperature=1.0,
        )
        request.num_denoising_steps += 1
        if not (canvas == MASK).any():
            token_ids = canvas.tolist()[: request.num_tokens_left]
            request.commit(token_ids, converged=True)
            request.finish("length") if request.num_tokens_left == 0 else request.start_append(canvas)
            return Outcome(step=record, committed=Committed(token_ids, is_complete=False))
        request.denoised(canvas, None, ())
        return Outcome(step=record)


@pytest.fixture(scope="module")
def engine(tiny_directory):
    model = redraft.load_model(str(tiny_directory))
    families = {"diffusion": MaskedDiffusion(model)}
    with Engine(model, tiny_directory, name="masked", config=EngineConfig(), families=families) as engine:
        yield engine


def params(**values) -> SamplingParams:
    # The mask is not a token to write.
    return SamplingParams(**{"max_tokens": 20, "max_denoising_steps": 4, "logit_bias": {MASK: -100}, **values})


def test_it_is_a_model_family(engine):
    assert isinstance(engine._hub._runner.families["diffusion"], ModelFamily)


def test_every_canvas_takes_its_steps_and_is_filled(engine):
    reply = engine.generate(PROMPT, params(seed=1))
    assert len(reply.token_ids) == 20
    assert MASK not in reply.token_ids
    assert (reply.usage.canvases, reply.usage.denoising_steps, reply.usage.forward_passes) == (3, 12, 14)


def test_a_filled_position_never_changes(engine):
    events = list(engine.stream(PROMPT, params(seed=2, max_tokens=8)))
    drafts = [event for event in events if isinstance(event, Draft)]
    assert [len(draft.accepted) for draft in drafts] == [2, 2, 2, 2]
    assert sorted(position for draft in drafts for position in draft.accepted) == list(range(8))
    assert isinstance(events[-1], Finish)
    assert "".join(event.text for event in events if isinstance(event, Commit)) == events[-1].reply.text


def test_it_shares_batches_with_left_to_right_decoding_without_a_trace(engine):
    asked = [params(seed=s) for s in range(4)]
    asked += [SamplingParams(decoding="autoregressive", max_tokens=9, seed=s) for s in range(3)]
    alone = [engine.generate(PROMPT, item).token_ids for item in asked]
    together = engine.generate([PROMPT] * 7, asked)
    assert [reply.token_ids for reply in together] == alone


def test_it_reuses_remembered_prefixes(engine):
    prompt = [3 + i % 11 for i in range(600)]
    first = engine.generate(prompt, params(seed=1))
    before = engine.figures.reused_tokens
    assert engine.generate(prompt, params(seed=1)).token_ids == first.token_ids
    assert engine.figures.reused_tokens - before == 512
