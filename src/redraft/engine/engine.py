"""The engine as callers see it: generate, chat, stream, fill, edit, solve and decide, from any number of threads."""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from redraft.checkpoint.config import read_generation_defaults
from redraft.config import EngineConfig, SamplingParams
from redraft.constraints.compiled import CompileCache
from redraft.constraints.spec import Constraint, Infill, TextConstraint
from redraft.constraints.vocabulary import Vocabulary
from redraft.engine.assembly import page_pool, shipped_families
from redraft.engine.deciding import Question, decisions, read_questions, reading_request
from redraft.engine.editing import edit_request, kept
from redraft.engine.handle import Event, Handle
from redraft.engine.hub import Figures, Hub
from redraft.engine.infilling import infill_request
from redraft.engine.intake import Intake, Messages, Prompt, is_many
from redraft.engine.model_state import ModelFamily
from redraft.engine.output import Output
from redraft.engine.request import Request
from redraft.engine.runner import Runner
from redraft.engine.scheduler import Scheduler
from redraft.errors import InvalidRequest
from redraft.model.transformer import DiffusionTransformer
from redraft.reply import Decision, Finish, Reply
from redraft.text.chat import ChatTemplate
from redraft.text.tokenizer import Tokenizer

DEFAULT_PARAMS = SamplingParams()
NUM_AHEAD = 256  # requests of one list that wait in the queue at a time


class Engine:
    """One loaded model. Also a context manager; closing it cancels what runs.

    `path` is the resolved checkpoint directory, `tokenizer` its tokenizer. `families` replaces ways of making text by
    name ("diffusion", "reading", "autoregressive"), see docs/adding-a-model.md.
    """

    def __init__(
        self,
        model: DiffusionTransformer,
        path: Path,
        *,
        name: str,
        config: EngineConfig,
        families: Mapping[str, ModelFamily] | None = None,
    ):
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
            compiled=CompileCache(Vocabulary(self.tokenizer.token_bytes)),
            max_context=config.max_context or longest,
            device=model.device,
        )
        self._scheduler = Scheduler(config.max_batch, page_pool(model, config, self.intake.max_context))
        self.runner = Runner(model, {**shipped_families(model, config), **(families or {})})
        self._hub = Hub(self.runner, self._scheduler)

    @property
    def label(self) -> str:
        """What a seed's text is fixed for: model, device kind, dtype and maker of Prediction."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return f"{self.name} ({self.model.device.type}, {dtype}, {self.model.kernels.name})"

    @property
    def figures(self) -> Figures:
        """What runs and waits now, the cache's use, and how much of the prompts was found in it."""
        return self._hub.figures()

    @overload
    def generate(self, prompt: Prompt, params: SamplingParams | None = None) -> Reply: ...
    @overload
    def generate(
        self, prompt: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> list[Reply]: ...
    def generate(self, prompt: Any, params: Any = None) -> Any:
        """The reply to a prompt (a string or token ids), or the replies to a list of prompts, run as one batch."""
        if not is_many(prompt):
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
        if not is_many(prompt):
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
        return self._start(self.intake.chat_ids(messages, tools, thinking), _one(params), thinking=thinking).reply()

    async def achat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
    ) -> Reply:
        """`chat` without blocking the event loop."""
        ids = self.intake.chat_ids(messages, tools, thinking)
        return await self._start(ids, _one(params), thinking=thinking).areply()

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
        return self._start(self._ids(prompt, tools, thinking), _one(params), True, thinking).events()

    def astream(
        self,
        prompt: Prompt | Messages,
        params: SamplingParams | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
    ) -> AsyncIterator[Event]:
        """`stream` for an `async for` loop."""
        return self._start(self._ids(prompt, tools, thinking), _one(params), True, thinking).aevents()

    def solve(self, constraint: Constraint, prompt: Prompt = "", params: SamplingParams | None = None) -> Reply:
        """`generate` under a constraint: the reply is a text of it. An Infill brings its own prompt."""
        given = _one(params)
        if given.constraint is not None:
            raise InvalidRequest("params.constraint is set: give the constraint once, as the argument")
        if isinstance(constraint, Infill):
            if prompt:
                raise InvalidRequest("prompt: an Infill brings its own, leave it out")
            return self._fill(constraint, given).reply()
        return self.generate(prompt, replace(given, constraint=constraint))

    def fill(self, before: str, after: str, params: SamplingParams | None = None) -> Reply:
        """The text between `before` and `after`, either of which may be empty; `stop` strings end it."""
        return self._fill(Infill(before, after), _one(params)).reply()

    async def afill(self, before: str, after: str, params: SamplingParams | None = None) -> Reply:
        """`fill` without blocking the event loop."""
        return await self._fill(Infill(before, after), _one(params)).areply()

    def fill_stream(self, infill: Infill, params: SamplingParams | None = None, wants_drafts: bool = True) -> Handle:
        """An infill as a handle, whose `events` and `aevents` are those of `stream`."""
        return self._fill(infill, _one(params), wants_drafts)

    def edit(self, text: str, instruction: str, params: SamplingParams | None = None, strength: float = 0.5) -> Reply:
        """`text` rewritten as the instruction says, one canvas long; strength 0 keeps it, 1 starts from noise."""
        return self._edit(text, instruction, _one(params), strength).reply()

    async def aedit(
        self, text: str, instruction: str, params: SamplingParams | None = None, strength: float = 0.5
    ) -> Reply:
        """`edit` without blocking the event loop."""
        return await self._edit(text, instruction, _one(params), strength).areply()

    def decide(
        self, state: Any, questions: Mapping[str, Mapping[str, Any]], reads: int = 1, seed: int = 0
    ) -> dict[str, Decision]:
        """A typed decision per question about a state (a string or any JSON value), one denoising pass per read."""
        asked, pending = self._reads(state, questions, reads, seed)
        for handle in pending.values():
            handle.reply()
        return decisions(asked, [request.reading for request in pending], reads)

    async def adecide(
        self, state: Any, questions: Mapping[str, Mapping[str, Any]], reads: int = 1, seed: int = 0
    ) -> dict[str, Decision]:
        """`decide` without blocking the event loop."""
        asked, pending = self._reads(state, questions, reads, seed)
        for handle in pending.values():
            await handle.areply()
        return decisions(asked, [request.reading for request in pending], reads)

    def close(self) -> None:
        """Cancel what runs and refuse what comes; harmless when repeated."""
        self._hub.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(
        self, prompt_ids: Sequence[int], params: SamplingParams, wants_drafts: bool = False, thinking: bool = False
    ) -> Handle:
        """Queue one request; everything that can be refused is refused here."""
        if isinstance(params.constraint, Infill):
            raise InvalidRequest("constraint: an Infill brings its own prompt, use engine.solve or engine.fill")
        request = self.intake.request(prompt_ids, params, thinking=thinking)
        narrowed = params.constraint.warnings if isinstance(params.constraint, TextConstraint) else ()
        return self._submit(request, wants_drafts, narrowed, params.constraint)

    def _fill(self, infill: Infill, params: SamplingParams, wants_drafts: bool = False) -> Handle:
        if params.constraint is not None:
            raise InvalidRequest("params.constraint cannot be used with an infill: constrain its hole")
        request, warnings = infill_request(self.intake, infill, params)
        return self._submit(request, wants_drafts, warnings, infill.hole)

    def _edit(self, text: str, instruction: str, params: SamplingParams, strength: float) -> Handle:
        request = edit_request(self.intake, text, instruction, params, strength)
        if strength > 0:
            return self._submit(request)
        handle = Handle(wants_drafts=False)
        handle.push(Finish(reply=kept(request, text, self.label)))
        return handle

    def _reads(
        self, state: Any, questions: Mapping[str, Mapping[str, Any]], reads: int, seed: int
    ) -> tuple[list[Question], dict[Request, Handle]]:
        """One request per question and read, all of them queued."""
        if isinstance(reads, bool) or not isinstance(reads, int) or reads < 1:
            raise InvalidRequest(f"reads={reads!r}: want an integer >= 1")
        asked = read_questions(questions)
        requests = [reading_request(self.intake, state, question, seed + i) for question in asked for i in range(reads)]
        return asked, {request: self._submit(request) for request in requests}

    def _submit(
        self,
        request: Request,
        wants_drafts: bool = False,
        warnings: Sequence[str] = (),
        constraint: Constraint | None = None,
    ) -> Handle:
        self._scheduler.check(request)
        handle = Handle(wants_drafts)
        self._hub.submit(request, Output(self.tokenizer, request, self.label, warnings, constraint), handle)
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


def _one(params: Any) -> SamplingParams:
    if params is None:
        return DEFAULT_PARAMS
    if not isinstance(params, SamplingParams):
        raise InvalidRequest(f"params={params!r}: want redraft.SamplingParams")
    return params
