"""Committed ids -> text events and, at the end, the reply of one request."""

import math
import time
from collections.abc import Sequence

import torch

from redraft.constraints.spec import Template
from redraft.diffusion.process import Place
from redraft.diffusion.stopping import StableAndConfident
from redraft.diffusion.trace import Trace, make_draft
from redraft.engine.model_state import Outcome, StepRecord
from redraft.engine.request import Phase, Request
from redraft.reply import Commit, Draft, Reply, TokenLogprob, Usage
from redraft.shapes import Float, Int, Tensor
from redraft.text.reply_parser import ReplyParser
from redraft.text.tokenizer import Tokenizer


class Output:
    """Collects what a request said. Used by the engine's thread alone."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        request: Request,
        label: str,
        warnings: Sequence[str] = (),
        constraint: object = None,  # what the text is a text of; a template's holes are told
    ):
        self._constraint = constraint
        self._tokenizer = tokenizer
        self._label = label
        self._warnings = tuple(warnings)
        self._parser = ReplyParser(tokenizer, request.params.stop or ())
        self._events: list[Draft | Commit] = []  # of a recorded trace
        self._text: dict[str, list[str]] = {"answer": [], "reasoning": []}
        self._logprobs: list[TokenLogprob] = []
        self._prompt_logprobs: list[TokenLogprob | None] = [None]

    def events(self, request: Request, outcome: Outcome, wants_drafts: bool) -> list[Draft | Commit]:
        """What a listener hears of one piece of work; ends the request where its text met a stop string."""
        events: list[Draft | Commit] = []
        if outcome.prompt_logits is not None:
            self._take_prompt_logits(request, outcome.prompt_logits)
        if outcome.step is not None and (wants_drafts or request.params.record_trace):
            events.append(self._draft(request, outcome.step))
        if outcome.committed is not None:
            events += self._commits(request, outcome)
        if request.params.record_trace:
            self._events += events
        return events

    def reply(self, request: Request) -> Reply:
        """The finished request as its caller gets it."""
        params, num_tokens = request.params, len(request.token_ids)
        assert request.finish_reason is not None
        trace = None
        if params.record_trace:
            trace = Trace(model=self._label, seed=request.seed, params=params.as_dict(), events=tuple(self._events))
        text = "".join(self._text["answer"])
        return Reply(
            text=text,
            holes=self._constraint.split(text) if isinstance(self._constraint, Template) else None,
            constraint=None if request.steering is None else request.steering.report,
            token_ids=tuple(request.token_ids),
            finish_reason=request.finish_reason,
            seed=request.seed,
            usage=_usage(request),
            model=self._label,
            logprobs=None if params.logprobs is None else tuple(self._logprobs[:num_tokens]),
            prompt_logprobs=None if params.prompt_logprobs is None else tuple(self._prompt_logprobs),
            trace=trace,
            reasoning="".join(self._text["reasoning"]) or None,
            tool_calls=tuple(self._parser.tool_calls),
            warnings=(*self._warnings, *self._parser.warnings),
        )

    def _commits(self, request: Request, outcome: Outcome) -> list[Commit]:
        """One event per channel the committed ids touch."""
        assert outcome.committed is not None
        committed, text = tuple(outcome.committed.token_ids), outcome.committed.text
        if request.params.logprobs is not None and outcome.logprobs is not None:
            self._logprobs += _token_logprobs(torch.tensor(committed), outcome.logprobs, outcome.top)
        commits = self._parsed(request, committed) if text is None else [Commit(token_ids=committed, text=text)]
        for commit in commits:
            self._text[commit.channel].append(commit.text)
        return commits

    def _parsed(self, request: Request, committed: tuple[int, ...]) -> list[Commit]:
        """Ids -> text by channel; ends the request at a stop string."""
        # A stop id never shows in the text, even one that stands for text elsewhere.
        stop_id = committed[-1:] if committed and committed[-1] in request.stop_ids else ()
        segments = self._parser.push(committed[: len(committed) - len(stop_id)])
        if request.phase is Phase.FINISHED:
            segments += self._parser.finish()
        if self._parser.num_tokens is not None:
            request.cut(self._parser.num_tokens)
            request.finish("stop")
            stop_id = ()
        commits = [Commit(token_ids=s.token_ids, text=s.text, channel=s.channel) for s in segments]
        if stop_id:
            commits.append(Commit(token_ids=stop_id, text=""))
        return commits

    def _draft(self, request: Request, step: StepRecord) -> Draft:
        stop_rule = request.rules and request.rules.stop
        assert isinstance(stop_rule, StableAndConfident), "an engine's rules come from its params"
        return make_draft(
            step.prediction,
            step.accepted,
            step.previous_best,
            Place(step.canvas_index, step.denoising_step),
            temperature=step.temperature,
            mean_entropy=stop_rule.mean_entropy(step.prediction).item(),
            stop_ids=request.stop_ids,
            decode=self._tokenizer.decode,
        )

    def _take_prompt_logits(self, request: Request, logits: Float[Tensor, "L V"]) -> None:
        """Row i of the prompt says how likely its token i + 1 was; the last row says nothing about the prompt."""
        start = len(self._prompt_logprobs)
        targets = torch.tensor(request.prompt_ids[start : start + len(logits)], dtype=torch.long, device=logits.device)
        logprobs = torch.log_softmax(logits[: len(targets)], dim=-1)
        top = logprobs.topk(request.params.prompt_logprobs, dim=-1) if request.params.prompt_logprobs else None
        of_targets = logprobs.gather(-1, targets[:, None]).squeeze(-1)
        self._prompt_logprobs += _token_logprobs(
            targets, of_targets, None if top is None else (top.indices, top.values)
        )


def _usage(request: Request) -> Usage:
    num_tokens = len(request.token_ids)
    num_passes = request.num_denoising_steps + request.num_appends
    if request.params.decoding == "autoregressive":
        num_passes = num_tokens
    return Usage(
        prompt_tokens=len(request.prompt_ids),
        completion_tokens=num_tokens,
        canvases=len(request.converged),
        denoising_steps=request.num_denoising_steps,
        forward_passes=num_passes,
        tokens_per_forward=num_tokens / num_passes,
        converged=tuple(request.converged),
        seconds=time.monotonic() - request.submitted,
    )


def _token_logprobs(
    token_ids: Int[Tensor, "n"],
    logprobs: Float[Tensor, "n"],
    top: tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]] | None,
) -> list[TokenLogprob]:
    """One record per id; `top` holds each row's k best ids and log-probabilities; impossible ones are dropped."""
    rows: list[tuple[tuple[int, float], ...]] = [()] * len(token_ids)
    if top is not None:
        pairs = zip(top[0].tolist(), top[1].tolist(), strict=True)
        rows = [tuple((i, p) for i, p in zip(ids, values, strict=True) if p > -math.inf) for ids, values in pairs]
    return [
        TokenLogprob(token_id=token_id, logprob=logprob, top=row)
        for token_id, logprob, row in zip(token_ids.tolist(), logprobs.tolist(), rows, strict=True)
    ]
