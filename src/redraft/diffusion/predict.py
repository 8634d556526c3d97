"""Logits -> Prediction, the only thing the rules of the loop ever see. This maker is plain torch, without a constraint.

Other makers (a constraint, a fused op) fill the same record, so that entropies, acceptance, the stop test, the commit
and self-conditioning always speak of the same distribution.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

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

    def first(self, num_positions: int) -> "Prediction":
        """What it says about the first so many positions; `log_z` stays the whole canvas's."""
        if num_positions == len(self.best):
            return self
        rows = slice(num_positions)
        return Prediction(
            self.entropy[rows], self.sample[rows], self.best[rows], self.signal[rows], self.free[rows],
            self.best_logprob[rows], self.log_z, None if self.top is None else (self.top[0][rows], self.top[1][rows]),
        )  # fmt: skip


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


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How one request wants its rows among a batch's logits to be read."""

    num_rows: int
    temperature: float  # the schedule's
    rule: LogitRule
    draws: Draws
    place: Place
    num_committed: int = 0  # the reply's tokens before row 0

    def uniforms(self) -> Float[Tensor, "R"] | None:
        """One number per row for the draw; None where the draw is the argmax, or made from cut or generator draws."""
        if self.rule.temperature == 0 or self.rule.cuts_draw:
            return None
        return self.draws.uniforms(self.place, self.num_rows)


def predict(
    logits: Float[Tensor, "C V"],
    temperature: float,
    rule: LogitRule,
    draws: Draws,
    place: Place,
    *,
    num_committed: int = 0,
    make: Callable[..., Statistics] = token_statistics,
) -> Prediction:
    """The Prediction of one canvas from softcapped fp32 logits, left unchanged; ModelFailure on NaN (one host sync).

    make: what reduces rows of logits to their statistics, see Kernels.
    """
    asked = Asked(
        num_rows=len(logits),
        temperature=temperature,
        rule=rule,
        draws=draws,
        place=place,
        num_committed=num_committed,
    )
    (prediction,) = predict_batch(logits.clone(), [asked], make)
    if prediction.entropy.isnan().any():
        raise not_numbers(prediction, place)
    return prediction


def predict_batch(
    logits: Float[Tensor, "R V"], asked: Sequence[Asked], make: Callable[..., Statistics] = token_statistics
) -> list[Prediction]:
    """One Prediction per request from the softcapped fp32 logits of all, which become the tempered ones, in place.

    A row's result depends on that row only. Never waits for the device and raises nothing: where a row held NaN or
    +inf its entropy is NaN, and its caller refuses it (`not_numbers`).
    """
    sizes = [one.num_rows for one in asked]
    parts = logits.split(sizes)
    for part, one in zip(parts, asked, strict=True):
        temper(part, one.temperature, one.rule, one.num_committed)
    uniforms = [one.uniforms() for one in asked]
    statistics = make(logits, *_joined(logits, asked, uniforms)).split(sizes)
    return [
        Prediction(
            entropy=found.entropy,
            sample=_sample(part, found, one, given is not None),
            best=found.best,
            signal=part,
            free=torch.ones_like(found.best, dtype=torch.bool),
            best_logprob=found.best_logprob,
            top=None if one.rule.num_top is None else top_logprobs(part, found.log_normaliser, one.rule.num_top),
        )
        for part, found, one, given in zip(parts, statistics, asked, uniforms, strict=True)
    ]


def _joined(
    logits: Float[Tensor, "R V"], asked: Sequence[Asked], uniforms: Sequence[Tensor | None]
) -> tuple[Float[Tensor, "R"] | None, Float[Tensor, "R"] | None]:
    """The uniforms of all rows, and their draw temperatures where one is not 1; rows drawn otherwise get zeros."""
    if all(given is None for given in uniforms):
        return None, None
    rows = [logits.new_zeros(one.num_rows) if u is None else u for one, u in zip(asked, uniforms, strict=True)]
    if all(one.rule.temperature in (0, 1) for one in asked):
        return torch.cat(rows), None
    return torch.cat(rows), torch.cat([logits.new_full((a.num_rows,), a.rule.temperature or 1.0) for a in asked])


def _sample(
    tempered: Float[Tensor, "C V"], statistics: Statistics, one: Asked, gave_uniforms: bool
) -> Int[Tensor, "C"]:
    """The draw of one request, from its own rows."""
    if gave_uniforms:
        assert statistics.sample is not None
        return statistics.sample
    if one.rule.temperature == 0:
        return statistics.best
    # A torch.Generator cannot draw from NaN; such a row is refused later.
    is_bad = statistics.entropy.isnan().unsqueeze(-1)
    return one.draws.tokens(draw_logits(tempered, one.rule).masked_fill(is_bad, 0.0), one.place)


def tempered_logits(
    logits: Float[Tensor, "C V"], temperature: float, rule: LogitRule, num_committed: int = 0
) -> Float[Tensor, "C V"]:
    """(logits + bias) / temperature, a new tensor; -inf at banned ids, and at stop ids while the reply is too short."""
    tempered = logits.clone()
    temper(tempered, temperature, rule, num_committed)
    return tempered


def temper(logits: Float[Tensor, "C V"], temperature: float, rule: LogitRule, num_committed: int = 0) -> None:
    """`tempered_logits` in place."""
    if rule.bias:
        ids, values = zip(*rule.bias, strict=True)
        logits.index_add_(
            1,
            _placed(ids, torch.long, logits.device),
            _placed(values, torch.float, logits.device).expand(len(logits), -1),
        )
    logits /= temperature
    if rule.banned_ids:
        logits.index_fill_(1, _placed(rule.banned_ids, torch.long, logits.device), -math.inf)
    num_short = rule.min_tokens - num_committed
    if num_short > 0 and rule.stop_ids:
        logits[:num_short].index_fill_(1, _placed(rule.stop_ids, torch.long, logits.device), -math.inf)


@lru_cache(maxsize=64)
def _placed(values: tuple[int | float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tuple of numbers as a tensor. Remembered: making one on a GPU waits for it, and a request asks every step."""
    return torch.tensor(values, dtype=dtype, device=device)


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


def not_numbers(prediction: Prediction, place: Place) -> ModelFailure:
    """The error of a prediction with rows of NaN, naming the place and their positions (one host sync)."""
    positions = (prediction.entropy.isnan().nonzero().flatten() + place.position).tolist()
    return ModelFailure(
        f"logits of canvas {place.canvas_index}, denoising step {place.denoising_step} are not numbers at "
        f"{len(positions)} positions (first: {positions[0]}): want finite values"
    )
