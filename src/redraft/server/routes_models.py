"""Routes that say what is served: models and their tokenizers."""

import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from redraft.config import SamplingParams
from redraft.engine.engine import Engine
from redraft.errors import InvalidRequest
from redraft.server.params import ignored
from redraft.server.replies import Model, ModelList, Text, TokenizerInfo, Tokens
from redraft.server.routing import ERRORS, replies, router
from redraft.server.schema import DetokenizeRequest, DiffusionOptions, Sampling, TokenizeRequest
from redraft.server.service import Service
from redraft.server.wire import JSONReply

ENDPOINTS = ("/v1/completions", "/v1/fim/completions", "/infill")
CHAT_ENDPOINTS = ("/v1/chat/completions", "/v1/edit/completions", "/v1/decisions")
NOT_SAMPLING = ("model", "stream", "stream_options", "diffusion", "n")
_NO_EFFECT = ("frequency_penalty", "presence_penalty", "repetition_penalty")


def make(service: Service) -> APIRouter:
    """The routes over a service."""
    routes = router()
    created = int(time.time())
    _add_models(routes, service, created)
    _add_tokenizer(routes, service)
    return routes


def _add_models(routes: APIRouter, service: Service, created: int) -> None:
    async def models() -> ModelList:
        data = [_model(name, engine, created) for name, engine in service.engines.items()]
        return ModelList(object="list", data=data)

    # Inception's clients ask for the models of each endpoint.
    paths = ("/v1/models", *(f"/v1/{kind}/completions/models" for kind in ("chat", "fim", "edit")))
    for path in paths:
        routes.add_api_route(path, models, methods=["GET"], response_model=ModelList, responses=ERRORS, tags=["models"])

    @routes.get("/v1/models/{name:path}", response_model=Model, responses=ERRORS, tags=["models"])
    async def model(name: str) -> Model:
        return _model(*service.named(name), created)


def _add_tokenizer(routes: APIRouter, service: Service) -> None:
    # A plain response: FastAPI would look at each of a million ids on the event loop.
    @routes.post("/tokenize", responses=replies(Tokens), tags=["tokenizer"])
    async def tokenize(body: TokenizeRequest) -> JSONReply:
        _, engine = service.named(body.model)
        ids = await service.admission.run(lambda: _encode(body, engine))
        counts = {"count": len(ids), "max_model_len": engine.intake.max_context}
        return JSONReply({"tokens": ids, **counts, "warnings": ignored(body)})

    @routes.post("/detokenize", response_model=Text, responses=ERRORS, tags=["tokenizer"])
    async def detokenize(body: DetokenizeRequest) -> Text:
        _, engine = service.named(body.model)
        text = await service.admission.run(lambda: engine.tokenizer.decode(body.tokens))
        return Text(prompt=text, content=text, warnings=ignored(body))

    @routes.get("/tokenizer_info", response_model=TokenizerInfo, responses=ERRORS, tags=["tokenizer"])
    async def tokenizer_info() -> TokenizerInfo:
        _, engine = service.named(None)
        config = engine.tokenizer.config
        named = {key: _content(config.get(key)) for key in ("bos_token", "eos_token", "pad_token")}
        return TokenizerInfo(
            tokenizer_class=_content(config.get("tokenizer_class")),
            chat_template=engine.intake.template.source,
            **named,
        )


def _encode(body: TokenizeRequest, engine: Engine) -> list[int]:
    if body.messages is not None:
        messages = [message.model_dump(exclude_unset=True) for message in body.messages]
        return engine.intake.chat_ids(messages, None, False)
    text = body.content if body.prompt is None else body.prompt
    if text is None:
        raise InvalidRequest("prompt: want a text, or messages")
    tokenizer = engine.tokenizer
    return tokenizer.encode(text) if body.add_special_tokens is False else tokenizer.encode_prompt(text)


def _model(name: str, engine: Engine, created: int) -> Model:
    has_chat = engine.intake.template.is_present
    fields = [field for field in Sampling.model_fields if field not in (*NOT_SAMPLING, *_NO_EFFECT)]
    options = [f"diffusion.{field}" for field in DiffusionOptions.model_fields]
    return Model(
        id=name,
        object="model",
        created=created,
        owned_by="redraft",
        context_length=engine.intake.max_context,
        canvas_length=engine.model.canvas_length,
        vocab_size=engine.model.vocab_size,
        has_chat=has_chat,
        supported_endpoints=[*ENDPOINTS, *(CHAT_ENDPOINTS if has_chat else ())],
        supported_sampling_parameters=["max_tokens", *fields, *options],
        defaults=SamplingParams().resolved(engine.intake.defaults).as_dict(),
    )


def _content(value: Any) -> str | None:
    """The text of a token as tokenizer_config.json spells it: a string, or an object that holds one."""
    text = value.get("content") if isinstance(value, Mapping) else value
    return text if isinstance(text, str) else None
