"""The HTTP app that every service has.

It carries the routers, health, metrics and the administration of dead letters.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from shared.database.key_check import checked_keys
from shared.database.session import open_database
from shared.errors import PROBLEM_TYPE, status_title
from shared.http import dead_letters_router
from shared.http.draining import Drain
from shared.http.problems import add_handlers
from shared.http.request_scope import RequestScope
from shared.messaging.bus import Bus
from shared.runtime import http_client
from shared.runtime.monitor import Monitor, operator_routes
from shared.runtime.readiness import readiness
from shared.runtime.refusal import RefusalWatch
from shared.runtime.remote_keys import RemoteKeys
from shared.security.crypto import derived_key
from shared.security.tokens import TokenVerifier
from shared.settings import ServiceSettings

ISSUER = "tongban"
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "errors", "trace_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "rule", "message"],
                "properties": {
                    "row": {"type": "integer"},
                    "field": {"type": "string"},
                    "rule": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
        "trace_id": {"type": "string"},
    },
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries of the problem answers an endpoint gives."""
    return {
        status: {
            "description": status_title(status),
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def create_app(
    service: str,
    settings: ServiceSettings,
    *,
    parts: Sequence[APIRouter],
    others: Sequence[APIRouter] = (),
    bus: Bus | None = None,
    verifier: TokenVerifier | None = None,
    lifespan: Lifespan | None = None,
    title: str = "",
    rebuildable: bool = False,
) -> FastAPI:
    """The HTTP app of one service: its routers plus everything common.

    `parts` lie below `/api/v1/<service>`, `others` where they say. They are included one by one,
    not in a router of routers, because every request passes through each level again.
    `/readyz` asks `bus`; `verifier` defaults to one that reads the keys from `settings.jwks_url`;
    `lifespan` opens what the service alone needs; `rebuildable` see `Consumer`.
    """
    app = FastAPI(
        title=title or f"Tongban {service}",
        version="1",
        openapi_url=f"/api/v1/{service}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(lifespan),
        max_body_size=settings.max_body_bytes,
        # Every endpoint may refuse, ask to slow down, or meet a database that is away.
        responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 429, 503),
        separate_input_output_schemas=False,
    )
    http_client.configure(settings)
    app.state.service = service
    app.state.settings = settings
    app.state.bus = bus
    app.state.drain = Drain()
    app.state.presence = None
    app.state.verifier = verifier or TokenVerifier(RemoteKeys(settings.jwks_url), issuer=ISSUER)
    app.state.database = open_database(settings)
    app.state.refusal = RefusalWatch(service, app.state.database, bus=bus, rebuildable=rebuildable)
    app.state.monitor = Monitor(
        f"{service}-api", service, settings=settings, database=app.state.database, bus=bus
    )
    for part in parts:
        app.include_router(part, prefix=f"/api/v1/{service}", tags=[service])
    for router in others:
        app.include_router(router)
    app.include_router(dead_letters_router.router(service))
    app.include_router(_operations(service))
    app.include_router(operator_routes(app.state.monitor))
    add_handlers(app)
    _describe_problems(app)
    # Outermost, so that FastAPI's own refusals (413, 500) also carry the request id and are
    # problems.
    inner = app.build_middleware_stack
    data_key = base64.b64decode(settings.data_key.get_secret_value())
    cursor_key = derived_key(data_key, purpose="cursor")
    app.build_middleware_stack = lambda: RequestScope(
        inner(),
        service,
        cursor_key=cursor_key,
        refusal=app.state.refusal,
        unreviewed=settings.show_unreviewed_texts,
        languages=settings.city.languages,
    )
    return app


def _lifespan(inner: Lifespan | None) -> Lifespan:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncGenerator[None]:
        await app.state.refusal.begin()
        tasks = [asyncio.create_task(app.state.refusal.run())]
        if app.state.presence is not None:
            tasks.append(asyncio.create_task(app.state.presence.keep()))
        try:
            async with checked_keys(app.state.database, app.state.service):
                if inner is None:
                    yield
                else:
                    async with inner(app):
                        yield
        finally:
            for task in tasks:
                _ = task.cancel()
            _ = await asyncio.wait(tasks)
            await app.state.database.close()

    return run


def _describe_problems(app: FastAPI) -> None:
    """Add the schema of problems to the OpenAPI, and 412 and 428 wherever `If-Match` is taken."""
    original = app.openapi
    version_answers = {str(status): entry for status, entry in problem_responses(412, 428).items()}

    def openapi() -> dict[str, Any]:
        document = original()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
        for path in document["paths"].values():
            for operation in path.values():
                names = [entry["name"].lower() for entry in operation.get("parameters", ())]
                if "if-match" in names:
                    operation["responses"] |= version_answers
        return document

    app.openapi = openapi


def _operations(service: str) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def alive() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "alive", "service": service}

    @router.get("/readyz")
    async def ready(  # pyright: ignore[reportUnusedFunction] - a route
        request: Request, response: Response
    ) -> dict[str, object]:
        if request.app.state.drain.began:
            response.status_code = 503
            return {"service": service, "checks": {"accepting": False}}
        checks = await readiness(service, request.app.state.database, bus=request.app.state.bus)
        # The bus does not count: without it events wait in the outbox, and requests still succeed.
        needed = checks["database"] and checks["migrations"] and checks["facts"]
        response.status_code = 200 if needed else 503
        return {"service": service, "checks": checks}

    return router
