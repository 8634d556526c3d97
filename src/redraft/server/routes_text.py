"""Routes that generate: chat, completions, infill, edits, decisions."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from redraft.reply import Reply
from redraft.server.completions import completion_exchange
from redraft.server.decisions import decision_exchange
from redraft.server.edits import edit_exchange
from redraft.server.fim import fim_exchange, infill_exchange, infill_reply
from redraft.server.openai import chat_exchange
from redraft.server.replies import (
    ChatChunk,
    ChatReply,
    DecisionReply,
    EditReply,
    InfillReply,
    TextChunk,
    TextReply,
)
from redraft.server.routing import replies, router
from redraft.server.schema import (
    ChatRequest,
    CompletionRequest,
    DecisionRequest,
    EditRequest,
    FimRequest,
    InfillRequest,
)
from redraft.server.service import Service

DECISION_PATHS = ("/v1/decisions", "/v1/systemone")


def make(service: Service) -> APIRouter:
    """The routes over a service."""
    routes = router()
    _add_openai(routes, service)
    _add_infill(routes, service)

    async def decide(body: DecisionRequest, request: Request) -> Response:
        name, engine = service.named(body.model)
        exchange, render = decision_exchange(body, name, engine, service.fingerprint(engine))
        return await service.answer(request, exchange, render)

    for path in DECISION_PATHS:
        routes.add_api_route(path, decide, methods=["POST"], responses=replies(DecisionReply), tags=["decisions"])
    return routes


def _add_openai(routes: APIRouter, service: Service) -> None:
    @routes.post("/v1/chat/completions", responses=replies(ChatReply, ChatChunk), tags=["text"])
    async def chat(body: ChatRequest, request: Request) -> Response:
        name, engine = service.named(body.model)
        return await service.answer(request, chat_exchange(body, name, engine, service.fingerprint(engine)))

    @routes.post("/v1/completions", responses=replies(TextReply, TextChunk), tags=["text"])
    async def complete(body: CompletionRequest, request: Request) -> Response:
        name, engine = service.named(body.model)
        return await service.answer(request, completion_exchange(body, name, engine, service.fingerprint(engine)))


def _add_infill(routes: APIRouter, service: Service) -> None:
    @routes.post("/v1/fim/completions", responses=replies(TextReply, TextChunk), tags=["infill"])
    async def fim(body: FimRequest, request: Request) -> Response:
        name, engine = service.named(body.model)
        return await service.answer(request, fim_exchange(body, name, engine, service.fingerprint(engine)))

    @routes.post("/infill", responses=replies(InfillReply), tags=["infill"])
    async def infill(body: InfillRequest, request: Request) -> Response:
        name, engine = service.named(body.model)
        exchange = infill_exchange(body, name, engine, service.fingerprint(engine))

        def render(finished: list[Reply]) -> dict:
            return infill_reply(exchange, finished[0], is_warm_up=body.n_predict == 0)

        return await service.answer(request, exchange, render)

    @routes.post("/v1/edit/completions", responses=replies(EditReply), tags=["edit"])
    async def edit(body: EditRequest, request: Request) -> Response:
        name, engine = service.named(body.model)
        return await service.answer(request, edit_exchange(body, name, engine, service.fingerprint(engine)))
