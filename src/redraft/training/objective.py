"""The training loss: a clean prompt encoded causally, one noised canvas denoised given it.

The objective of DiffusionGemma's first stage (arXiv 2608.00146): noise proportion uniform in (0, 1), noise uniform over
the whole vocabulary, plain cross-entropy on every canvas position, self-conditioning on half of the examples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from redraft.cache.view import AutogradCache
from redraft.diffusion.predict import LogitRule, predict
from redraft.diffusion.process import GeneratorDraws, Place
from redraft.diffusion.sampler import EntropyBound, UniformRenoise
from redraft.diffusion.schedule import LinearTemperature
from redraft.errors import InvalidRequest
from redraft.model.masks import Role, Segment
from redraft.model.moe import Routing
from redraft.model.transformer import DiffusionTransformer, PackedBatch
from redraft.shapes import Float, Int, Tensor
from redraft.training.candidates import IGNORE, Candidates
from redraft.training.data import Group
from redraft.training.noise import corrupt, spread_proportions


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights of the loss terms."""

    autoregressive: float = 0.1  # next-token loss of the encoder
    autoregressive_on_canvas: bool = False  # over prompt and canvas; else over the prompt alone
    autoregressive_on_prompt: bool = True
    balance: float = 1e-2  # evenness of the routers
    self_conditioning: float = 0.5  # share of the examples that see their own first prediction
    visited: float = 0.0  # share of those whose canvas becomes the one the sampler would go on from
    spans: float = 0.0  # share of the examples of which one stretch alone is noised, the rest of the canvas clean
    num_candidates: int | None = None  # ids that rows are scored against, see Candidates; None: the whole vocabulary

    def __post_init__(self):
        if self.visited and self.num_candidates is not None:
            raise InvalidRequest(f"visited={self.visited}: want 0 with num_candidates, a draw needs every id's logit")


class Losses(NamedTuple):
    """Scalars in fp32; `total` carries the gradient, the others are for the record."""

    total: Tensor
    denoise: Tensor
    autoregressive: Tensor
    balance: Tensor


def balance_loss(routings: Sequence[Routing]) -> Float[Tensor, ""]:
    """Mean over layers of E * sum_e (share of choices that fell on e) * (mean probability of e): 1 when even."""

    def one(routing: Routing) -> Tensor:
        num_experts = routing.probabilities.shape[-1]
        share = torch.bincount(routing.expert_ids.flatten(), minlength=num_experts) / routing.expert_ids.numel()
        return num_experts * (share * routing.probabilities.mean(0)).sum()

    return torch.stack([one(routing) for routing in routings]).mean()


def training_loss(
    model: DiffusionTransformer,
    groups: Sequence[Group],
    objective: Objective,
    generator: torch.Generator,
    hidden: Callable[..., Tensor] | None = None,
) -> Losses:
    """The loss of one batch. `generator` (on CPU) makes noise and coins; no other randomness.

    Self-conditioning goes to the first examples of each group, their number drawn so that its expectation is exact;
    noise proportions are shuffled over examples, so who comes first means nothing.
    """
    run = hidden or model.hidden
    device = model.device
    count = sum(map(len, groups))
    proportions = spread_proportions(count, generator).split([len(group) for group in groups])
    pairs = zip(groups, proportions, strict=True)
    noisy = [corrupt(g, p, model.vocab_size, generator, objective.spans).to(device) for g, p in pairs]
    prompts = [group.prompt.to(device) for group in groups]
    canvases = [group.canvas.to(device) for group in groups]
    caches = [AutogradCache(model.config) for _ in groups]
    routings: list[Routing] = []

    texts = prompts
    if objective.autoregressive_on_canvas:
        texts = [torch.cat(pair, dim=1) for pair in zip(prompts, canvases, strict=True)]
    encoded = run(_pack(texts, Role.ENCODE, caches), routings)
    caches = [cache.holding(prompt.shape[1]) for cache, prompt in zip(caches, prompts, strict=True)]
    head = Candidates(model, [*prompts, *canvases], objective.num_candidates, generator)
    following = _next_tokens(texts, model.config.pad_token_id)
    if not objective.autoregressive_on_prompt:
        following = _without_prompts(following, texts, prompts)
    counted = following != IGNORE
    autoregressive = head.loss(encoded[counted], following[counted])

    canvases_in, signal = _first_prediction(run, head, noisy, proportions, caches, objective, generator)
    batch = _pack(canvases_in, Role.DENOISE, caches, signal)
    denoise = head.loss(run(batch, routings), torch.cat([canvas.flatten() for canvas in canvases]))
    balance = balance_loss(routings)
    total = denoise + objective.autoregressive * autoregressive + objective.balance * balance
    return Losses(total, denoise.detach(), autoregressive.detach(), balance.detach())


def _pack(
    rows: Sequence[Int[Tensor, "_ _"]], role: Role, caches: Sequence[AutogradCache], signal: Tensor | None = None
) -> PackedBatch:
    """One segment per group."""
    segments, start = [], 0
    for ids, cache in zip(rows, caches, strict=True):
        B, L = ids.shape
        segments.append(Segment(start, B, L, role, cache))
        start += B * L
    token_ids = torch.cat([ids.flatten() for ids in rows])
    return PackedBatch(token_ids, signal, tuple(segments))


def _next_tokens(texts: Sequence[Int[Tensor, "_ _"]], pad_id: int) -> Int[Tensor, "T"]:
    """For every row the id that follows it; IGNORE after the last, and before the end of padding on the left."""
    is_padding = [(ids != pad_id).cumsum(1) == 0 for ids in texts]
    known = [torch.where(padding, IGNORE, ids) for ids, padding in zip(texts, is_padding, strict=True)]
    return torch.cat([F.pad(ids[:, 1:], (0, 1), value=IGNORE).flatten() for ids in known])


def _without_prompts(following: Int[Tensor, "T"], texts: Sequence[Tensor], prompts: Sequence[Tensor]) -> Tensor:
    """The same ids with IGNORE where the id that follows belongs to the prompt."""
    parts = following.split([ids.numel() for ids in texts])
    rows = [part.view_as(ids).clone() for part, ids in zip(parts, texts, strict=True)]
    for ids, prompt in zip(rows, prompts, strict=True):
        ids[:, : prompt.shape[1] - 1] = IGNORE
    return torch.cat([ids.flatten() for ids in rows])


def _first_prediction(
    run: Callable[..., Tensor],
    head: Candidates,
    noisy: Sequence[Int[Tensor, "_ _"]],
    proportions: Sequence[Float[Tensor, "_"]],
    caches: Sequence[AutogradCache],
    objective: Objective,
    generator: torch.Generator,
) -> tuple[list[Int[Tensor, "_ _"]], Float[Tensor, "T D"] | None]:
    """Canvases and self-conditioning signal of the trained pass; exact zeros where the coin fell off, None for all.

    The signal is the soft embedding of a prediction at temperature 1, without gradient. A visited example also moves on
    to the canvas one denoising step of the sampler makes of that prediction.
    """
    coin = torch.rand(1, generator=generator).item()
    counts = [int(objective.self_conditioning * len(ids) + coin) for ids in noisy]
    chosen = [(ids[:n], cache.first(n)) for ids, cache, n in zip(noisy, caches, counts, strict=True) if n]
    canvases = list(noisy)
    if not chosen:
        return canvases, None
    with torch.no_grad():
        hidden = run(_pack([ids for ids, _ in chosen], Role.DENOISE, [cache for _, cache in chosen]))
        soft = head.soft(hidden)
    signal = soft.new_zeros(sum(ids.numel() for ids in noisy), soft.shape[1])
    row = done = 0
    for index, (ids, n) in enumerate(zip(noisy, counts, strict=True)):
        size = n * ids.shape[1]
        signal[row : row + size] = soft[done : done + size]
        num_visited = int(objective.visited * n + coin) if objective.visited else 0
        if num_visited:
            part = hidden[done : done + num_visited * ids.shape[1]].view(num_visited, ids.shape[1], -1)
            moved = _next_canvases(head, ids[:num_visited], part, proportions[index], generator)
            canvases[index] = torch.cat((moved, ids[num_visited:]))
        row, done = row + ids.numel(), done + size
    return canvases, signal


@torch.no_grad()
def _next_canvases(
    head: Candidates,
    canvases: Int[Tensor, "B C"],
    hidden: Float[Tensor, "B C D"],
    proportions: Float[Tensor, "_"],
    generator: torch.Generator,
) -> Int[Tensor, "B C"]:
    """What the sampler's default rules make of these canvases: confident draws kept, the rest fresh noise."""
    rule = LogitRule(vocab_size=head.model.vocab_size)
    draws = GeneratorDraws(generator, canvases.device)
    temperature, accept, renoise = LinearTemperature(0.4, 0.8), EntropyBound(0.1), UniformRenoise()
    moved = []
    for canvas, rows, proportion in zip(canvases, hidden, proportions.tolist(), strict=False):
        prediction = predict(head.model.head(rows), temperature(proportion), rule, draws, Place(0, 0))
        noise = draws.noise(Place(0, 0), len(canvas), rule.vocab_size)
        moved.append(renoise(canvas, prediction, accept(prediction), noise))
    return torch.stack(moved)
