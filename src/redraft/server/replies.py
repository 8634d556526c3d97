"""What the server answers, as /openapi.json describes it. Keys beyond these may come; none of these goes."""

from typing import Any, Literal

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """Every reply that is not 2xx, and the data of a stream that fails midway."""

    error: ErrorDetail


class DiffusionFigures(BaseModel):
    """What a reply cost."""

    forward_passes: int
    denoising_steps: int
    canvases: int
    tokens_per_forward: float
    converged: list[list[bool]]
    seconds: float


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    diffusion: DiffusionFigures


class DraftFrame(BaseModel):
    """A canvas after one denoising step, the `diffusion` key of a chunk whose choices add nothing."""

    canvas_index: int
    denoising_step: int
    accepted: list[int]
    mean_entropy: float
    temperature: float
    text: str | None = None
    changed: list[tuple[int, str, float | None]] | None = None


class ChatMessage(BaseModel):
    role: Literal["assistant"]
    content: str | None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class ChatChoice(BaseModel):
    index: int
    message: ChatMessage
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length", "tool_calls"]
    seed: int
    holes: dict[str, str] | None = None


class _Reply(BaseModel):
    id: str
    created: int
    model: str
    system_fingerprint: str


class ChatReply(_Reply):
    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    seed: int
    usage: Usage
    warnings: list[str]


class _Chunk(_Reply):
    """The data of one event of a stream. `seed` and `warnings` come with the end of a choice."""

    choices: list[dict[str, Any]]
    diffusion: DraftFrame | None = None
    usage: Usage | None = None
    seed: int | None = None
    warnings: list[str] | None = None


class ChatChunk(_Chunk):
    object: Literal["chat.completion.chunk"]


class TextChunk(_Chunk):
    object: Literal["text_completion"]


CHUNKS = (ChatChunk, TextChunk)


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"] | None
    seed: int
    message: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None


class TextReply(_Reply):
    object: Literal["text_completion"]
    choices: list[TextChoice]
    seed: int
    usage: Usage
    warnings: list[str]


class EditReply(_Reply):
    object: Literal["edit.completion"]
    choices: list[dict[str, Any]]
    seed: int
    usage: Usage
    warnings: list[str]


class InfillReply(BaseModel):
    content: str
    stop: bool
    model: str
    tokens_predicted: int
    tokens_evaluated: int


class DecisionReply(BaseModel):
    object: Literal["decision"]
    model: str
    answers: list[dict[str, Any]] | dict[str, dict[str, Any]]
    usage: dict[str, Any]
    warnings: list[str]


class Model(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int
    canvas_length: int
    vocab_size: int
    has_chat: bool
    supported_endpoints: list[str]
    supported_sampling_parameters: list[str]
    defaults: dict[str, Any]


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[Model]


class Health(BaseModel):
    status: Literal["ok"]


class Version(BaseModel):
    version: str


class Tokens(BaseModel):
    tokens: list[int]
    count: int
    max_model_len: int
    warnings: list[str]


class Text(BaseModel):
    prompt: str
    content: str
    warnings: list[str]


class TokenizerInfo(BaseModel):
    tokenizer_class: str | None
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    chat_template: str | None
