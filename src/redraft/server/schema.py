"""What clients send: the types of every request body. Unknown fields are kept, to be named in `warnings`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# Wire values are taken as they are: "1" is no number here, and 1 is no string.
_STRICT = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=())
_EXACT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())

Seed = Annotated[int, Field(ge=0, lt=2**64)]
Bias = Annotated[float, Field(ge=-100, le=100)]
IdText = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
StopString = Annotated[str, Field(min_length=1)]


class Wire(BaseModel):
    """A body in which unknown fields are allowed."""

    model_config = _STRICT


class DiffusionOptions(BaseModel):
    """Our own fields, the names of SamplingParams, and how drafts are sent. Unknown ones are refused."""

    model_config = _EXACT

    draft: Literal["off", "text", "tokens"] | None = None
    draft_interval: Annotated[float, Field(ge=0, le=60)] | None = None  # seconds between frames, at least
    decoding: Literal["diffusion", "autoregressive"] | None = None
    max_denoising_steps: Annotated[int, Field(ge=1, le=10_000)] | None = None
    entropy_bound: Annotated[float, Field(gt=0)] | None = None
    t_max: Annotated[float, Field(gt=0)] | None = None
    t_min: Annotated[float, Field(gt=0)] | None = None
    stability_threshold: Annotated[int, Field(ge=1)] | None = None
    confidence_threshold: Annotated[float, Field(ge=0)] | None = None
    restart_after: Annotated[int, Field(ge=1)] | None = None
    canvas_length: Annotated[int, Field(ge=1)] | None = None
    deadline: Annotated[float, Field(gt=0)] | None = None


class StreamOptions(Wire):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class Sampling(Wire):
    """What all text endpoints share."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: Seed | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    ignore_eos: bool | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=64)] | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=64)] | None = None
    logit_bias: Annotated[dict[IdText, Bias], Field(max_length=1024)] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    diffusion: DiffusionOptions | None = None


class ContentPart(Wire):
    type: str
    text: str | None = None


class FunctionCall(Wire):
    name: str
    arguments: str | dict[str, Any] | None = None


class MessageToolCall(Wire):
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionCall


class Message(Wire):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = None


class Function(Wire):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Wire):
    type: Literal["function"]
    function: Function


class NamedFunction(Wire):
    name: str


class NamedTool(Wire):
    type: Literal["function"]
    function: NamedFunction


class TextFormat(Wire):
    type: Literal["text"]


class JSONObjectFormat(Wire):
    type: Literal["json_object"]


class NamedSchema(Wire):
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    json_schema: Annotated[dict[str, Any] | bool, Field(alias="schema")]


class JSONSchemaFormat(Wire):
    type: Literal["json_schema"]
    json_schema: NamedSchema


class RegexFormat(Wire):
    """Our own: the reply matches a pattern."""

    type: Literal["regex"]
    regex: str


class ChoiceFormat(Wire):
    """Our own: the reply is one of these."""

    type: Literal["choice"]
    choices: Annotated[list[str], Field(min_length=1, max_length=1024)]


class Hole(Wire):
    """A hole of a template: one of the four, none means any text."""

    regex: str | None = None
    choices: Annotated[list[str], Field(min_length=1, max_length=1024)] | None = None
    json_schema: dict[str, Any] | bool | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None


class TemplateFormat(Wire):
    """Our own: a text with holes `{name}`."""

    type: Literal["template"]
    template: str
    holes: dict[str, Hole] | None = None


Format = Annotated[
    TextFormat | JSONObjectFormat | JSONSchemaFormat | RegexFormat | ChoiceFormat | TemplateFormat,
    Field(discriminator="type"),
]


class TemplateOptions(Wire):
    enable_thinking: bool | None = None


class Prediction(Wire):
    type: Literal["content"]
    content: str | list[ContentPart]


class ChatRequest(Sampling):
    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: Format | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: TemplateOptions | None = None
    prediction: Prediction | None = None
    diffusing: bool | None = None


class CompletionRequest(Sampling):
    prompt: (
        str
        | Annotated[list[TokenId], Field(min_length=1)]
        | Annotated[list[str], Field(min_length=1, max_length=128)]
        | Annotated[list[Annotated[list[TokenId], Field(min_length=1)]], Field(min_length=1, max_length=128)]
    )
    suffix: str | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    best_of: Annotated[int, Field(ge=1, le=128)] | None = None
    response_format: Format | None = None


class FimRequest(Sampling):
    prompt: str
    suffix: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None


class ExtraFile(Wire):
    filename: str | None = None
    text: str


class InfillRequest(Wire):
    """llama.cpp's dialect."""

    model: str | None = None
    input_prefix: str
    input_suffix: str
    input_extra: list[ExtraFile] | None = None
    prompt: str | None = None
    n_predict: Annotated[int, Field(ge=-1)] | None = None
    stream: bool | None = None
    seed: int | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: int | None = None
    stop: Annotated[list[str], Field(max_length=64)] | None = None
    t_max_predict_ms: Annotated[int, Field(ge=0)] | None = None
    diffusion: DiffusionOptions | None = None


class EditRequest(Wire):
    """Next edit: one user message of tagged text. `strength` 0 keeps the region, 1 rewrites it from noise."""

    model: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Seed | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=64)] | None = None
    stream: Literal[False] | None = None
    strength: Annotated[float, Field(ge=0, le=1)] | None = None
    diffusion: DiffusionOptions | None = None


class DecisionRequest(Wire):
    """Inception's flavour has `state` and an object of questions, OpenAI's has `input` and a list of them."""

    model: str | None = None
    state: Any = None
    input: str | list[dict[str, Any]] | None = None
    questions: dict[str, dict[str, Any]] | Annotated[list[dict[str, Any]], Field(min_length=1, max_length=400)]
    reads: Annotated[int, Field(ge=1, le=64)] | None = None
    seed: Seed | None = None


class TokenizeRequest(Wire):
    model: str | None = None
    prompt: str | None = None
    content: str | None = None  # llama.cpp's name
    messages: Annotated[list[Message], Field(min_length=1)] | None = None
    add_special_tokens: bool | None = None


class DetokenizeRequest(Wire):
    model: str | None = None
    tokens: Annotated[list[TokenId], Field(max_length=1_000_000)]


_BODIES = (
    ChatRequest,
    CompletionRequest,
    FimRequest,
    InfillRequest,
    EditRequest,
    DecisionRequest,
    TokenizeRequest,
    DetokenizeRequest,
    DiffusionOptions,
)
FIELDS = frozenset(name for body in _BODIES for name in body.model_fields)  # what an error may name as its `param`
