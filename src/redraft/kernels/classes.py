"""Passes over the vocabulary by token classes, and over classes by sets of them. Plain torch; constraints run on these.

Tokens that a constraint cannot tell apart form a class. Three passes per denoising step see single tokens: statistics
of every class, the choice of a token inside a class, and the offset of every class added to its tokens' logits.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import embedding_bag

from redraft.kernels.statistics import inverse_cdf
from redraft.shapes import Float, Int, Tensor

_CHUNK = 2**20  # logits handled at a time: they stay in cache, and their memory is reused instead of mapped anew
_EXP_FLOOR = -87.0  # exp of it is the smallest normal fp32; below, exp is slow, and 0 * -inf lurks
_RUN = 512  # tokens summed in fp32 before fp64 takes over: keeps entropies within 1e-5 in any vocabulary
_LOWEST = torch.finfo(torch.float32).min
# exp of it is an ordinary fp64 number: log masses no further apart may be summed without their logarithms.
_NARROW = -600.0


@dataclass(frozen=True)
class ClassTable:
    """Which ids lie in which class; ids in none are left out. Made by `class_table`."""

    tokens: Int[Tensor, "L"]  # class by class, ascending in each
    classes: Int[Tensor, "L"]  # the class of each
    runs: Int[Tensor, "runs"]  # index in `tokens` of the first of each run: at most _RUN tokens of one class
    run_classes: Int[Tensor, "runs"]
    num_classes: int

    def only(self, ids: Int[Tensor, "k"]) -> "ClassTable":
        """The same classes, holding no more than these ids."""
        is_kept = torch.isin(self.tokens, ids)
        sizes = torch.bincount(self.classes[is_kept], minlength=self.num_classes)
        return class_table(self.tokens[is_kept], sizes)


def class_table(tokens: Int[Tensor, "L"], sizes: Int[Tensor, "classes"]) -> ClassTable:
    """The table of classes that lie one after another in `tokens`, each of its size (0 too)."""
    numbers = torch.arange(len(sizes), device=tokens.device)
    num_runs = (sizes + _RUN - 1) // _RUN
    run_classes = numbers.repeat_interleave(num_runs)
    index = torch.arange(len(run_classes), device=tokens.device) - (num_runs.cumsum(0) - num_runs)[run_classes]
    runs = (sizes.cumsum(0) - sizes)[run_classes] + _RUN * index
    return ClassTable(tokens, numbers.repeat_interleave(sizes), runs, run_classes, len(sizes))


@dataclass(frozen=True)
class ClassStatistics:
    """One value per class and row; an empty class has -inf and entropy 0."""

    best: Float[Tensor, "classes R"]  # fp32: the best logit
    log_mass: Float[Tensor, "classes R"]  # fp64: log of the sum of exp
    entropy: Float[Tensor, "classes R"]  # fp64, nats: of the class's tokens among themselves
    draw_log_mass: Float[Tensor, "classes R"]  # fp64: log_mass of the logits over the draw's temperature


@dataclass(frozen=True)
class SetTable:
    """Which classes lie in which set; no set is empty."""

    classes: Int[Tensor, "K"]  # set by set
    sets: Int[Tensor, "K"]  # the set of each
    first: Int[Tensor, "sets"]  # index in `classes` of the first of each set
    by_class: Int[Tensor, "K"]  # the sets again, class by class
    by_class_first: Int[Tensor, "classes"]


def class_statistics(logits: Float[Tensor, "R V"], table: ClassTable, draw_temperature: float = 1.0) -> ClassStatistics:
    """Statistics of every class of fp32 logits. `draw_temperature` 0 leaves draw_log_mass at temperature 1.

    Tokens more than 87 nats below the best of their class do not count; of a class of nothing but -inf only `best` is
    right. Sums are relative to the best token, in fp32 over short runs and fp64 beyond.
    """
    chunks = logits.split(_rows_per_chunk(len(table.tokens)))
    parts = [_chunk_statistics(chunk, table, draw_temperature) for chunk in chunks]
    return ClassStatistics(*(torch.cat(columns, dim=1) for columns in zip(*parts, strict=True)))


def _chunk_statistics(logits: Tensor, table: ClassTable, draw_temperature: float) -> tuple[Tensor, ...]:
    shifted = logits.index_select(1, table.tokens).t().contiguous()
    best = shifted.new_full((table.num_classes, shifted.shape[1]), -torch.inf)
    best.scatter_reduce_(0, table.classes.unsqueeze(1).expand_as(shifted), shifted, "amax")
    shifted.sub_(best.clamp(min=_LOWEST).index_select(0, table.classes)).clamp_(min=_EXP_FLOOR)
    weights = shifted.exp()
    total = _sums(weights, table)
    expected = _sums(weights.mul_(shifted), table)
    log_total = total.log()
    entropy = torch.where(total > 0, log_total - expected / total, 0.0)
    log_mass = best + log_total
    if draw_temperature in (0.0, 1.0):
        return best, log_mass, entropy, log_mass
    weights = shifted.div_(draw_temperature).clamp_(min=_EXP_FLOOR).exp_()
    return best, log_mass, entropy, best.double() / draw_temperature + _sums(weights, table).log()


def _sums(values: Float[Tensor, "L R"], table: ClassTable) -> Float[Tensor, "classes R"]:
    """fp64 sum of each class's rows."""
    order = torch.arange(len(values), device=values.device)
    sums = embedding_bag(order, values, table.runs, mode="sum").double()
    return sums.new_zeros(table.num_classes, values.shape[1]).index_add_(0, table.run_classes, sums)


def log_totals(logits: Float[Tensor, "R V"]) -> Float[Tensor, "R"]:
    """fp32 log of the sum of exp of each row."""
    return torch.cat([chunk.logsumexp(dim=-1) for chunk in logits.split(_rows_per_chunk(logits.shape[1]))])


def best_tokens(logits: Float[Tensor, "R V"], rows: Int[Tensor, "n"], ids: Int[Tensor, "k"]) -> Int[Tensor, "n"]:
    """Per listed row the id of the largest logit among `ids` (ascending); ties go to the lowest id."""
    chunks = rows.split(_rows_per_chunk(logits.shape[1]))
    return ids[torch.cat([logits[chunk].index_select(1, ids).argmax(dim=-1) for chunk in chunks])]


def drawn_tokens(
    logits: Float[Tensor, "R V"],
    rows: Int[Tensor, "n"],
    ids: Int[Tensor, "k"],
    uniforms: Float[Tensor, "R"],
    temperature: float,
) -> Int[Tensor, "n"]:
    """Per listed row one of `ids` (ascending) by inverse CDF from softmax(logits[ids] / temperature)."""
    drawn = []
    for chunk in rows.split(_rows_per_chunk(logits.shape[1])):
        chosen = logits[chunk].index_select(1, ids)
        peak, best = chosen.max(dim=-1, keepdim=True)
        weights = chosen.sub_(peak).div_(temperature).exp_()
        drawn.append(inverse_cdf(weights, uniforms[chunk], best.squeeze(-1)))
    return ids[torch.cat(drawn)]


def add_offsets(
    logits: Float[Tensor, "R V"], offsets: Float[Tensor, "R classes1"], class_of_id: Int[Tensor, "V"]
) -> None:
    """Adds to each logit, in place, its class's offset; the last column is for ids that are in no class."""
    num_rows = _rows_per_chunk(logits.shape[1])
    for chunk, part in zip(logits.split(num_rows), offsets.split(num_rows), strict=True):
        chunk.add_(part.index_select(1, class_of_id))


def set_maxima(values: Float[Tensor, "classes R"], table: SetTable) -> Float[Tensor, "sets R"]:
    """The largest value in each set."""
    entries = values.index_select(0, table.classes)
    maxima = values.new_full((len(table.first), values.shape[1]), -torch.inf)
    return maxima.scatter_reduce_(0, table.sets.unsqueeze(1).expand_as(entries), entries, "amax")


def set_log_masses(log_mass: Float[Tensor, "classes R"], table: SetTable) -> Float[Tensor, "sets R"]:
    """Log of the mass of each set from log masses of classes relative to their row's largest (fp64); -inf: none."""
    if _is_narrow(log_mass):
        return embedding_bag(table.classes, log_mass.exp(), table.first, mode="sum").log()
    peak = set_maxima(log_mass, table)
    peak = torch.where(peak > -torch.inf, peak, 0.0)
    entries = (log_mass.index_select(0, table.classes) - peak.index_select(0, table.sets)).exp_()
    order = torch.arange(len(entries), device=entries.device)
    return peak + embedding_bag(order, entries, table.first, mode="sum").log()


def class_posterior(
    log_mass: Float[Tensor, "classes R"],
    set_log_mass: Float[Tensor, "sets R"],
    taken: Float[Tensor, "sets R"],
    table: SetTable,
) -> Float[Tensor, "classes R"]:
    """Probability of each class: a set is taken with probability `taken`, its classes share that by their mass."""
    if _is_narrow(log_mass):
        shares = torch.where(taken > 0, taken / set_log_mass.exp(), 0.0)
        posterior = log_mass.exp() * embedding_bag(table.by_class, shares, table.by_class_first, mode="sum")
    else:
        shares = log_mass.index_select(0, table.classes) - set_log_mass.index_select(0, table.sets)
        shares = torch.where(shares < torch.inf, shares, -torch.inf).exp_() * taken.index_select(0, table.sets)
        posterior = torch.zeros_like(log_mass).index_add_(0, table.classes, shares)
    return posterior / posterior.sum(dim=0)


def _is_narrow(log_mass: Float[Tensor, "classes R"]) -> bool:
    return not ((log_mass < _NARROW) & (log_mass > -torch.inf)).any()


def _rows_per_chunk(width: int) -> int:
    return max(1, _CHUNK // max(1, width))
