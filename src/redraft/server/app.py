"""The HTTP application: routes over the engines, behind the guard."""

from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from redraft import __version__
from redraft.server import errors, routes_models, routes_text
from redraft.server.guard import Guard
from redraft.server.page import page, policy
from redraft.server.replies import Health, Version
from redraft.server.routing import ERRORS, describe_chunks, router
from redraft.server.service import ClientLeftError, Service


def make_app(service: Service) -> ASGIApp:
    """The application over a service."""
    settings = service.settings

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        yield
        service.close()

    app = FastAPI(
        title="redraft",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    errors.install(app)
    app.state.service = service
    app.add_exception_handler(ClientLeftError, _nobody_listens)
    _add_plain_routes(app, service)
    for routes in (routes_text, routes_models):
        app.include_router(routes.make(service))
    describe_chunks(app)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Api-Key", "X-Request-Id"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    return Guard(app, settings, service.metrics.done)


def _add_plain_routes(app: FastAPI, service: Service) -> None:
    plain = router()

    @plain.get("/", responses={200: {"content": {"text/html": {}}}}, response_class=Response, tags=["page"])
    async def show_page() -> Response:
        return Response(page(), media_type="text/html", headers={"Content-Security-Policy": policy(page())})

    @plain.get("/health", response_model=Health, tags=["server"])
    async def health() -> Health:
        return Health(status="ok")

    @plain.get("/version", response_model=Version, responses=ERRORS, tags=["server"])
    async def version() -> Version:
        return Version(version=__version__)

    @plain.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {}}}, **ERRORS},
        response_class=Response,
        tags=["server"],
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    app.include_router(plain)


async def _nobody_listens(_: Request, __: Exception) -> Response:
    return Response(status_code=499)
