"""Logits -> Prediction, the only thing the rules of the loop ever see. This maker is plain torch, without a constraint.

Other makers (a constraint, a fused op) fill the same record, so that entropies, acceptance, the stop test, the commit
and self-conditioning always speak of the same distribution.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from redraft.config import BAN_BIAS, SamplingParams
from redraft.diffusion.process import Draws, Place
from redraft.errors import InvalidRequest, ModelFailure
from redraft.kernels.statistics import Statistics, token_statistics
from redraft.shapes import Bool, Float, Int, Tensor


@dataclass(frozen=True)
class Prediction:
    """What one denoising step says about one canvas; all of the tempered distribution, in fp32 and nats."""

    entropy: Float[Tensor, "C"]
    sample: Int[Tensor, "C"]  # one draw
    best: Int[Tensor, "C"]  # argmax, or the best valid path
    signal: Float[Tensor, "C _"]  # what the next denoise takes as self-conditioning
    free: Bool[Tensor, "C"]  # more than one token is possible
    best_logprob: Float[Tensor, "C"]  # of `best`
    log_z: Float[Tensor, ""] | float = 0.0  # log-probability of keeping to the constraint; 0 without one
    top: tuple[Int[Tensor, "C k"], Float[Tensor, "C k"]] | None = None  # the k best ids and log-probabilities, if asked


@dataclass(frozen=True, kw_only=True)
class LogitRule:
    """What a request asks of its logits: bias and bans before the temperature, then how the draw is made."""

    vocab_size: int
    bias: tuple[tuple[int, float], ...] = ()  # (id, added to the logit)
    banned_ids: tuple[int, ...] = ()
    stop_ids: tuple[int, ...] = ()  # banned at reply positions below min_tokens
    min_tokens: int = 0
    temperature: float = 1.0  # times the schedule's, for the draw only; 0 draws the argmax
    top_k: int | None = None  # the draw only
    top_p: float | None = None  # the draw only
    num_top: int | None = None  # how many best ids to report; None: none asked

    @classmethod
    def from_params(cls, params: SamplingParams, stop_ids: tuple[int, ...], vocab_size: int) -> "LogitRule":
        """The rule of resolved params; InvalidRequest where an id is not in the vocabulary or no id is left."""
        bias = dict(params.logit_bias or {})
        for name, ids in (("logit_bias", bias), ("stop_token_ids", params.stop_token_ids or ())):
            outside = [token for token in ids if token >= vocab_size]
            if outside:
                raise InvalidRequest(f"{name} has the id {outside[0]}: want ids from 0 to {vocab_size - 1}")
        banned = tuple(token for token, value in bias.items() if value <= BAN_BIAS)
        # A checkpoint may name end ids beyond a cut-down vocabulary; they cannot occur.
        stops = tuple(token for token in stop_ids if token < vocab_size)
        if len({*banned, *(stops if params.min_tokens else ())}) >= vocab_size:
            raise InvalidRequest(f"logit_bias={len(banned)} ids at -100 or below: want at least one id left to write")
        return cls(
            vocab_size=vocab_size,
            bias=tuple((token, value) for token, value in bias.items() if value > BAN_BIAS),
            banned_ids=banned,
            stop_ids=stops,
            min_tokens=params.min_tokens or 0,
            temperature=1.0 if params.temperature is None else float(params.temperature),
            top_k=params.top_k,
            top_p=params.top_p,
            num_top=params.logprobs,
        )

    @property
    def cuts_draw(self) -> bool:
        """Whether the draw needs the sorted distribution."""
        return self.top_k is not None or (self.top_p is not None and self.top_p < 1)


def predict(
    logits: Float[Tensor, "C V"],
    temperature: float,
    rule: LogitRule,
    draws: Draws,
    place: Place,
    *,
    num_committed: int = 0,
    signal: Callable[[Float[Tensor, "C V"]], Float[Tensor, "C _"]] = lambda tempered: tempered,
) -> Prediction:
    """The Prediction of one canvas (or of one position, autoregressively) from softcapped fp32 logits, left unchanged.

    `temperature` is the schedule's; `num_committed` counts the reply's tokens before row 0; `signal` turns the tempered
    logits into what the next denoise takes. One row's result depends on that row only. Raises ModelFailure on NaN.
    """
    tempered = tempered_logits(logits, temperature, rule, num_committed)
    draws_best = rule.temperature == 0
    uniforms = None if draws_best or rule.cuts_draw else draws.uniforms(place, len(logits))
    statistics = token_statistics(tempered, uniforms, rule.temperature or 1.0)
    check_numbers(statistics, place)
    if draws_best:
        sample = statistics.best
    elif statistics.sample is not None:
        sample = statistics.sample
    else:
        sample = draws.tokens(draw_logits(tempered, rule), place)
    return Prediction(
        entropy=statistics.entropy,
        sample=sample,
        best=statistics.best,
        signal=signal(tempered),
        free=torch.ones_like(sample, dtype=torch.bool),
        best_logprob=statistics.best_logprob,
        top=None if rule.num_top is None else top_logprobs(tempered, statistics.log_normaliser, rule.num_top),
    )


def tempered_logits(
    logits: Float[Tensor, "C V"], temperature: float, rule: LogitRule, num_committed: int = 0
) -> Float[Tensor, "C V"]:
    """(logits + bias) / temperature, a new tensor; -inf at banned ids, and at stop ids while the reply is too short."""
    if rule.bias:
        ids, values = zip(*rule.bias, strict=True)
        logits = logits.clone()
        logits[:, list(ids)] += torch.tensor(values, device=logits.device)
    tempered = logits / temperature
    if rule.banned_ids:
        tempered[:, list(rule.banned_ids)] = -math.inf
    num_short = rule.min_tokens - num_committed
    if num_short > 0 and rule.stop_ids:
        tempered[:num_short, list(rule.stop_ids)] = -math.inf
    return tempered


def draw_logits(tempered: Float[Tensor, "C V"], rule: LogitRule) -> Float[Tensor, "C V"]:
    """Logits of the distribution the draw is made from: caller's temperature, then the top_k best, then top_p of those.

    Equal logits rank by id. top_p keeps the fewest best ids whose probabilities sum to at least top_p.
    """
    logits = tempered if rule.temperature == 1 else tempered / rule.temperature
    if not rule.cuts_draw:
        return logits
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)
    if rule.top_k is not None:
        ranked[:, rule.top_k :] = -math.inf
    if rule.top_p is not None:
        probabilities = ranked.softmax(dim=-1)
        ranked[probabilities.cumsum(dim=-1) - probabilities >= rule.top_p] = -math.inf
    return torch.empty_like(logits).scatter_(-1, order, ranked)


def top_logprobs(
    tempered: Float[Tensor, "C V"], log_normaliser: Float[Tensor, "C"], num_top: int
) -> tuple[Int[Tensor, "C k"], Float[Tensor, "C k"]]:
    """The k best ids of each row and their log-probabilities, best first, equal ones by id; k at most V.

    Which of several equal ids make the list's end is left to topk. A banned id may appear, with -inf.
    """
    values, ids = tempered.topk(min(num_top, tempered.shape[-1]), dim=-1)
    ids, by_id = ids.sort(dim=-1)
    values, by_value = values.gather(-1, by_id).sort(dim=-1, descending=True, stable=True)
    return ids.gather(-1, by_value), values - log_normaliser.unsqueeze(-1)


def check_numbers(statistics: Statistics, place: Place) -> None:
    """Returns nothing; raises ModelFailure where a row of logits held NaN or +inf (one host sync)."""
    is_bad = ~torch.isfinite(statistics.log_normaliser)
    if is_bad.any():
        positions = (is_bad.nonzero().flatten() + place.position).tolist()
        raise ModelFailure(
            f"logits of canvas {place.canvas_index}, denoising step {place.denoising_step} are not numbers at "
            f"{len(positions)} positions (first: {positions[0]}): want finite values"
        )
