"""The engine as callers see it: load a model, then generate, chat and stream, from any number of threads."""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch

from redraft.checkpoint.config import read_generation_defaults
from redraft.checkpoint.fetch import resolve
from redraft.checkpoint.load import load_model
from redraft.config import EngineConfig, SamplingParams
from redraft.engine.families import Autoregressive, BlockDiffusion
from redraft.engine.handle import Event, Handle
from redraft.engine.hub import Hub
from redraft.engine.intake import Intake, Messages, Prompt
from redraft.engine.output import Output
from redraft.engine.runner import Runner
from redraft.engine.scheduler import Scheduler
from redraft.errors import InvalidRequest, LoadError
from redraft.model.transformer import DiffusionTransformer
from redraft.reply import Reply
from redraft.text.chat import ChatTemplate
from redraft.text.tokenizer import Tokenizer

DEFAULT_PARAMS = SamplingParams()
NUM_AHEAD = 256  # requests of one list that wait in the queue at a time


def load(
    model: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    adapter: str | None = None,
    max_batch: int = 8,
    max_context: int | None = None,
    cache_memory: int | None = None,
) -> "Engine":
    """An engine for a shipped model, a local directory, or a hub id with an optional @revision.

    dtype auto is float32 on CPU and bfloat16 on CUDA. `max_context` bounds prompt plus whole canvases, in tokens;
    `cache_memory` bounds the KV cache of all running requests, in bytes. Raises LoadError or InvalidRequest.
    """
    config = EngineConfig(
        device=device, dtype=dtype, max_batch=max_batch, max_context=max_context, cache_memory=cache_memory
    )
    if adapter is not None:
        raise InvalidRequest(f"adapter={adapter!r}: adapters are not supported yet, leave it out")
    place = _device(config.device)
    precision = config.dtype if config.dtype != "auto" else ("bfloat16" if place.type == "cuda" else "float32")
    path = resolve(model)
    network = load_model(str(path), device=str(place), dtype=precision)
    return Engine(network, path, name=model, config=config)


class Engine:
    """One loaded model. Also a context manager; closing it cancels what runs.

    `path` is the resolved checkpoint directory, `tokenizer` its tokenizer.
    """

    def __init__(self, model: DiffusionTransformer, path: Path, *, name: str, config: EngineConfig):
        self.path = path
        self.name = name
        self.model = model
        self.tokenizer = Tokenizer.from_directory(path, model.vocab_size)
        longest = model.config.max_position_embeddings
        if config.max_context is not None and config.max_context > longest:
            raise InvalidRequest(f"max_context={config.max_context}: want at most {longest}, the checkpoint's own")
        self.intake = Intake(
            config=model.config,
            defaults=read_generation_defaults(path),
            tokenizer=self.tokenizer,
            template=ChatTemplate.from_directory(path, self.tokenizer),
            max_context=config.max_context or longest,
            device=model.device,
        )
        self._scheduler = Scheduler(config.max_batch, config.cache_memory, bytes_per_token(model))
        families = {"diffusion": BlockDiffusion(model), "autoregressive": Autoregressive(model)}
        self._hub = Hub(Runner(model, families), self._scheduler)

    @property
    def label(self) -> str:
        """What a seed's text is fixed for: model, device kind, dtype and maker of Prediction."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return f"{self.name} ({self.model.device.type}, {dtype}, plain torch)"

    @overload
    def generate(self, prompt: Prompt, params: SamplingParams | None = None) -> Reply: ...
    @overload
    def generate(
        self, prompt: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> list[Reply]: ...
    def generate(self, prompt: Any, params: Any = None) -> Any:
        """The reply to a prompt (a string or token ids), or the replies to a list of prompts, run as one batch."""
        if not _is_many(prompt):
            return self._start(self.intake.prompt_ids(prompt), _one(params)).reply()
        waiting: deque[Handle] = deque()
        replies: list[Reply] = []
        try:
            for ids, item_params in self._checked(prompt, params):
                if len(waiting) >= NUM_AHEAD:
                    replies.append(waiting.popleft().reply())
                waiting.append(self._start(ids, item_params))
            while waiting:
                replies.append(waiting.popleft().reply())
        finally:
            for handle in waiting:
                handle.cancel()
        return replies

    async def agenerate(self, prompt: Any, params: Any = None) -> Any:
        """`generate` without blocking the event loop."""
        if not _is_many(prompt):
            return await self._start(self.intake.prompt_ids(prompt), _one(params)).areply()
        handles = [self._start(ids, item_params) for ids, item_params in self._checked(prompt, params)]
        try:
            return [await handle.areply() for handle in handles]
        finally:
            for handle in handles:
                handle.cancel()

    def chat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
    ) -> Reply:
        """The model's turn in a conversation, through the checkpoint's chat template."""
        return self._start(self.intake.chat_ids(messages, tools, thinking), _one(params)).reply()

    async def achat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
    ) -> Reply:
        """`chat` without blocking the event loop."""
        return await self._start(self.intake.chat_ids(messages, tools, thinking), _one(params)).areply()

    def stream(
        self,
        prompt: Prompt | Messages,
        params: SamplingParams | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
    ) -> Iterator[Event]:
        """Draft, Commit and Finish events of one reply as they happen; leaving the loop cancels.

        `prompt` may also be chat messages (dicts); `tools` and `thinking` are for those.
        """
        return self._start(self._ids(prompt, tools, thinking), _one(params), wants_drafts=True).events()

    def astream(
        self,
        prompt: Prompt | Messages,
        params: SamplingParams | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
    ) -> AsyncIterator[Event]:
        """`stream` for an `async for` loop."""
        return self._start(self._ids(prompt, tools, thinking), _one(params), wants_drafts=True).aevents()

    def close(self) -> None:
        """Cancel what runs and refuse what comes; harmless when repeated."""
        self._hub.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self, prompt_ids: Sequence[int], params: SamplingParams, wants_drafts: bool = False) -> Handle:
        """Queue one request; everything that can be refused is refused here."""
        request = self.intake.request(prompt_ids, params)
        self._scheduler.check(request)
        handle = Handle(wants_drafts)
        self._hub.submit(request, Output(self.tokenizer, request, self.label), handle)
        return handle

    def _ids(self, prompt: Any, tools: Sequence[Mapping[str, Any]] | None, thinking: bool) -> list[int]:
        if isinstance(prompt, Sequence) and prompt and isinstance(prompt[0], Mapping):
            return self.intake.chat_ids(prompt, tools, thinking)
        if tools is not None or thinking:
            raise InvalidRequest("tools and thinking are for chat messages: want a list of messages as prompt")
        return self.intake.prompt_ids(prompt)

    def _checked(self, prompts: Sequence[Prompt], params: Any) -> Iterable[tuple[list[int], SamplingParams]]:
        """Ids and params of a list, all checked before any of them runs."""
        many = list(params) if isinstance(params, Sequence) else [_one(params)] * len(prompts)
        if len(many) != len(prompts):
            raise InvalidRequest(f"params has {len(many)} items: want one, or one for each of {len(prompts)} prompts")
        items = [(self.intake.prompt_ids(prompt), _one(item)) for prompt, item in zip(prompts, many, strict=True)]
        for ids, item_params in items:
            self._scheduler.check(self.intake.request(ids, item_params))
        return items


def bytes_per_token(model: DiffusionTransformer) -> int:
    """KV cache bytes that one token takes in all layers."""
    elements = sum(2 * layer.num_kv_heads * layer.head_dim for layer in model.config.layers)
    return elements * model.dtype.itemsize


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidRequest(f"device={name!r}: want 'auto', 'cpu' or 'cuda'") from error
    if device.type not in ("cpu", "cuda"):
        raise InvalidRequest(f"device={name!r}: not tested yet, want 'auto', 'cpu' or 'cuda'")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise LoadError(f"device={name!r}: this machine has no CUDA device that torch can use, want 'cpu'")
    return device


def _is_many(prompt: Any) -> bool:
    """Whether `prompt` is a list of prompts rather than one string or one list of ids."""
    return (
        isinstance(prompt, Sequence)
        and not isinstance(prompt, str)
        and any(isinstance(item, Sequence) for item in prompt)
    )


def _one(params: Any) -> SamplingParams:
    if params is None:
        return DEFAULT_PARAMS
    if not isinstance(params, SamplingParams):
        raise InvalidRequest(f"params={params!r}: want redraft.SamplingParams")
    return params
