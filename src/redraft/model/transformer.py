"""The packed stack in its two roles, with encode() and denoise() as thin wrappers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from redraft.cache.view import CacheView, ContiguousCache
from redraft.config import PREFILL_CHUNK, ModelConfig
from redraft.errors import InvalidRequest
from redraft.kernels.moe import padded_rows
from redraft.kernels.suite import PLAIN, Kernels
from redraft.model.embedding import TiedEmbedding
from redraft.model.layer import Layer
from redraft.model.layers import RMSNorm, Rotary
from redraft.model.masks import Reading, Role, Segment
from redraft.model.moe import Routing
from redraft.model.self_conditioning import SelfConditioning
from redraft.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class PackedBatch:
    """The rows of one forward; the role of a row follows from its segment, and segments cover all rows in order."""

    token_ids: Int[Tensor, "T"]
    signal: Float[Tensor, "T D"] | None  # soft embedding, times sqrt(D); zero rows and None: self-conditioning off
    segments: tuple[Segment, ...]


class DiffusionTransformer(nn.Module):
    """A DiffusionGemma-class model. Parameters are uninitialised: load a checkpoint, or use `random_model`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.kernels = PLAIN
        self.is_fused = False  # whether these kernels run whole layers, see Kernels.fuse
        self.embedding = TiedEmbedding(config.vocab_size, config.hidden_size, config.logit_softcap)
        self.self_conditioning = SelfConditioning(config.hidden_size, config.intermediate_size, config.rms_norm_eps)
        self.rotary = Rotary(config.layers)
        self.layers = nn.ModuleList(Layer(config, layer) for layer in config.layers)
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    @property
    def canvas_length(self) -> int:
        return self.config.canvas_length

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        return self.config.eos_token_ids

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.weight.dtype

    def use(self, kernels: Kernels) -> None:
        """Run with these kernels from now on, in place; weights are laid out in memory as they want them.

        While gradients are enabled plain torch runs all the same: only it can be differentiated.
        """
        self.kernels = kernels
        self.is_fused = all(kernels.can_fuse(dict(layer.named_parameters())) for layer in self.layers)
        for module in self.modules():
            if isinstance(module, Layer):
                module.use(kernels, self.is_fused)

    @property
    def _kernels(self) -> Kernels:
        return PLAIN if torch.is_grad_enabled() else self.kernels

    def new_cache(self, batch_size: int = 1, capacity: int | None = None) -> ContiguousCache:
        """An empty cache on the model's device, in its dtype; capacity in tokens, None grows as needed."""
        return ContiguousCache(self.config, batch_size, capacity, self.device, self.dtype)

    def hidden(self, batch: PackedBatch, routings: list[Routing] | None = None) -> Float[Tensor, "T D"]:
        """Rows after the final norm. Writes every segment's rows to its cache; does not advance any cache.

        routings: where each layer's router sent the rows is appended here, layer after layer.
        """
        num_rows = batch.token_ids.shape[0]
        num_spare = padded_rows(num_rows) - num_rows
        role = self._role(batch, num_spare)
        signal = None if batch.signal is None else _spare(batch.signal, num_spare)
        x = self._input(_spare(batch.token_ids, num_spare), signal, role)
        if self.is_fused and self._kernels is not PLAIN:  # no product of torch's is left that wants spare rows
            x, num_spare = x[:num_rows], 0
            role = role[:num_rows] if isinstance(role, Tensor) else role
        readings = _readings(batch.segments, self.config.sliding_window)
        turns = self.rotary(_positions(readings, num_spare), x.device, x.dtype)
        for index, layer in enumerate(self.layers):
            x, routing = layer(x, index, readings, turns[self.rotary.kind_of_layer[index]], role, self._kernels)
            if routings is not None:
                routings.append(Routing(*(part[:num_rows] for part in routing)))
        return self.norm(x, self._kernels)[:num_rows]

    def head(self, hidden: Float[Tensor, "R D"]) -> Float[Tensor, "R V"]:
        """Softcapped logits in fp32."""
        return self.embedding.logits(_padded(hidden), self._kernels)[: hidden.shape[0]]

    def soft_embedding(self, tempered_logits: Float[Tensor, "R V"]) -> Float[Tensor, "R D"]:
        """The signal the next denoising step takes: softmax in fp32 over the embedding table, times sqrt(D)."""
        return self.embedding.soft(_padded(tempered_logits))[: tempered_logits.shape[0]]

    def encode(
        self, input_ids: Int[Tensor, "B T"], cache: CacheView, logits: bool = True
    ) -> Float[Tensor, "B T V"] | None:
        """Causal logits of clean tokens, fp32 and softcapped (None where not asked for); appends them to the cache.

        Runs in pieces cut at multiples of PREFILL_CHUNK, as the engine does: the last bits depend on where it is cut.
        """
        rest, pieces = input_ids, []
        while rest.shape[1] or not pieces:
            piece = rest[:, : PREFILL_CHUNK - cache.length % PREFILL_CHUNK]
            hidden = self._forward("input_ids", piece, cache, Role.ENCODE, None)
            cache.advance(piece.shape[1])
            pieces.append(hidden.view(*piece.shape, -1))
            rest = rest[:, piece.shape[1] :]
        if not logits:
            return None
        return self.head(torch.cat(pieces, dim=1).flatten(0, 1)).view(*input_ids.shape, -1)

    def denoise(
        self,
        canvas: Int[Tensor, "B C"],
        cache: CacheView,
        self_conditioning_logits: Float[Tensor, "B C V"] | None = None,
    ) -> Float[Tensor, "B C V"]:
        """Logits of every canvas position, fp32 and softcapped; the cache holds the same tokens afterwards."""
        signal = None
        if self_conditioning_logits is not None:
            signal = self.soft_embedding(self_conditioning_logits.flatten(0, 1))
        hidden = self._forward("canvas", canvas, cache, Role.DENOISE, signal)
        return self.head(hidden).view(*canvas.shape, -1)

    def _forward(self, name: str, token_ids: Tensor, cache: CacheView, role: Role, signal: Tensor | None) -> Tensor:
        if token_ids.ndim != 2 or token_ids.numel() == 0:
            raise InvalidRequest(f"{name} has shape {tuple(token_ids.shape)}: want [requests, tokens], not empty")
        B, L = token_ids.shape
        return self.hidden(PackedBatch(token_ids.reshape(-1), signal, (Segment(0, B, L, role, cache),)))

    def _role(self, batch: PackedBatch, num_spare: int) -> int | Int[Tensor, "T 1"]:
        """The column of the layer scalars: one for all rows if they agree, else one per row."""
        roles = {segment.role for segment in batch.segments}
        if len(roles) == 1:
            return roles.pop().value
        columns = [torch.full((s.stop - s.start,), s.role.value, device=self.device) for s in batch.segments]
        return _spare(torch.cat(columns), num_spare)[:, None]

    def _input(self, token_ids: Tensor, signal: Tensor | None, role: int | Tensor) -> Tensor:
        embedded = self.embedding(token_ids)
        if isinstance(role, Tensor):
            return torch.where(
                role == Role.DENOISE.value, self.self_conditioning(embedded, signal, self._kernels), embedded
            )
        return self.self_conditioning(embedded, signal, self._kernels) if role == Role.DENOISE.value else embedded


def random_model(
    config: ModelConfig, seed: int = 0, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> DiffusionTransformer:
    """A model to train from scratch: every product keeps its input's scale, norms and scalars are 1.

    Weights are made where they stay, tensor by tensor, in their own dtype, so nothing is held twice.
    """
    with torch.device("meta"):
        model = DiffusionTransformer(config).to(dtype)
    model = model.to_empty(device=device)
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            nn.init.ones_(parameter)
            continue
        # the experts' down projections are stored [E, in, out], everything else [..., out, in]
        fan_in = parameter.shape[-2] if name.endswith("moe.down") else parameter.shape[-1]
        nn.init.normal_(parameter, std=fan_in**-0.5, generator=generator)
    return model


def _padded(rows: Float[Tensor, "R X"]) -> Float[Tensor, "R2 X"]:
    return _spare(rows, padded_rows(rows.shape[0]) - rows.shape[0])


def _spare(rows: Tensor, num_spare: int) -> Tensor:
    """The rows with `num_spare` zero rows after them."""
    if num_spare == 0:
        return rows
    return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, num_spare))


def _positions(readings: Sequence[Reading], num_spare: int) -> list[range]:
    """Positions of all rows, request after request; those of spare rows mean nothing."""
    ranges = [reading.positions for reading in readings for _ in range(reading.segment.batch)]
    return [*ranges[:-1], range(ranges[-1].start, ranges[-1].stop + num_spare)]


def _readings(segments: tuple[Segment, ...], window: int) -> list[Reading]:
    readings: list[Reading] = []
    rows_before: dict[int, int] = {}  # by cache: two segments of one request share it
    for segment in segments:
        assert segment.start == (readings[-1].segment.stop if readings else 0), "segments cover all rows in order"
        offset = rows_before.get(id(segment.cache), 0)
        rows_before[id(segment.cache)] = offset + segment.length
        readings.append(Reading(segment, offset, window))
    return readings
