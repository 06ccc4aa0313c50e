"""What every HTTP process has in common: errors, request ids, limits, health, metrics, administration of dead letters."""

import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Any

import asyncpg
import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import (
    HTTPException as StarletteHTTPException,  # noqa: TID251 - rendered here, raised nowhere
)
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import context, logs, metrics
from shared.context import Context
from shared.database.session import is_database_trouble, open_database
from shared.errors import (
    PROBLEM_TYPE,
    ConflictError,
    FieldError,
    InvalidInputError,
    ProblemError,
    UnavailableError,
    problem_body,
    status_title,
)
from shared.http import dead_letters_router
from shared.messaging.bus import Bus
from shared.runtime.readiness import readiness
from shared.runtime.remote_keys import RemoteKeys
from shared.security.tokens import TokenVerifier
from shared.settings import ServiceSettings

ISSUER = "tongban"
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
MOST_FAULTS, LONGEST_NAME = 100, 200
"""What of a request's faults is told: a small body may have very many, and repeat a long name in each."""
TOO_LARGE = FieldError("body", "max_bytes", "larger than this endpoint takes")
# What the framework itself refuses before a model sees it; 400 is a body that its parser gave up on.
FRAMEWORK_FAULTS = {400: FieldError("body", "readable", "cannot be read"), 413: TOO_LARGE}
log = structlog.get_logger(__name__)
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
    parts: Sequence[APIRouter],
    *,
    others: Sequence[APIRouter] = (),
    bus: Bus | None = None,
    verifier: TokenVerifier | None = None,
    lifespan: Lifespan | None = None,
    title: str = "",
) -> FastAPI:
    """The HTTP app of one service: its routers plus everything common.

    `parts` lie below `/api/v1/<service>`, `others` where they say. They are included one by one, not in a router of
    routers, because each level is gone through again with every request.
    `bus` is asked by `/readyz`; `verifier` defaults to one that reads the keys from `settings.jwks_url`;
    `lifespan` opens what the service alone needs.
    """
    app = FastAPI(
        title=title or f"Tongban {service}",
        version="1",
        openapi_url=f"/api/v1/{service}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(settings, lifespan),
        max_body_size=settings.max_body_bytes,
        # Everyone may be refused, asked to slow down, or meet a database that is away.
        responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 429, 503),
        separate_input_output_schemas=False,
    )
    app.state.service = service
    app.state.settings = settings
    app.state.bus = bus
    app.state.verifier = verifier or TokenVerifier(RemoteKeys(settings.jwks_url), issuer=ISSUER)
    app.state.database = open_database(settings)
    for part in parts:
        app.include_router(part, prefix=f"/api/v1/{service}", tags=[service])
    for router in others:
        app.include_router(router)
    app.include_router(dead_letters_router.router(service))
    app.include_router(_operations(service))
    _add_handlers(app)
    _describe_problems(app)
    # Outermost, so that FastAPI's own refusals (413, 500) also carry the request id and the problem form.
    inner = app.build_middleware_stack
    app.build_middleware_stack = lambda: RequestScope(inner(), service)
    return app


def _lifespan(settings: ServiceSettings, inner: Lifespan | None) -> Lifespan:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncGenerator[None]:
        try:
            if inner is None:
                yield
            else:
                async with inner(app):
                    yield
        finally:
            await app.state.database.close()

    return run


def _describe_problems(app: FastAPI) -> None:
    original = app.openapi

    def openapi() -> dict[str, Any]:
        document = original()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
        for operation in (
            operation for path in document["paths"].values() for operation in path.values()
        ):
            if any(
                parameter["name"].lower() == "if-match"
                for parameter in operation.get("parameters", ())
            ):
                operation["responses"] |= {
                    str(status): entry for status, entry in problem_responses(412, 428).items()
                }
        return document

    app.openapi = openapi


def _operations(service: str) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def alive() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "alive", "service": service}

    @router.get("/readyz")
    async def ready(request: Request, response: Response) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        checks = await readiness(service, request.app.state.database, request.app.state.bus)
        # The bus is told but not asked for: without it events wait in the outbox, and refusing requests would help nobody.
        response.status_code = 200 if checks["database"] and checks["migrations"] else 503
        return {"service": service, "checks": checks}

    @router.get("/metrics")
    async def measured() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction]
        return PlainTextResponse(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def _problem_response(request: Request, problem: ProblemError) -> Response:
    body = problem_body(
        status=problem.status,
        code=problem.code,
        title=problem.title,
        detail=problem.detail,
        instance=request.url.path,
        trace_id=context.current().request_id,
        errors=problem.errors,
        extra=problem.extra,
    )
    return Response(body, problem.status, problem.headers, PROBLEM_TYPE)


def _field_name(location: Sequence[str | int]) -> str:
    """`("body", "materials", 2, "code")` → `materials[2].code`; parameters keep their own name."""
    parts = (
        location[1:]
        if len(location) > 1 and location[0] in {"body", "query", "path", "header", "cookie"}
        else location
    )
    name = ""
    for part in parts:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name[:LONGEST_NAME] or "body"


def validation_faults(errors: Sequence[Any]) -> list[FieldError]:
    """Pydantic's faults as ours; the refused value itself is never repeated."""
    return [
        FieldError(
            _field_name(fault["loc"]),
            str(fault["type"]),
            str(fault["msg"]).removeprefix("Value error, "),
        )
        for fault in errors
    ]


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    more = len(errors) - MOST_FAULTS
    words = f"{len(errors)} fault(s) in the request" + (
        f"; {more} of them are not listed" if more > 0 else ""
    )
    return _problem_response(
        request, InvalidInputError(words, validation_faults(errors[:MOST_FAULTS]))
    )


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return _problem_response(request, error)


async def _cut_off(request: Request, _error: Exception) -> Response:
    """The client left in the middle of its body: nothing is stored, and nobody need be told."""
    fault = FieldError("body", "complete", "the connection ended before the body did")
    return _problem_response(request, InvalidInputError("the body is cut off", [fault]))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    title = status_title(error.status_code)
    code = title.lower().replace(" ", "_")
    body = problem_body(
        status=error.status_code,
        code=code,
        title=title,
        detail=str(error.detail),
        instance=request.url.path,
        trace_id=context.current().request_id,
        errors=[FRAMEWORK_FAULTS[error.status_code]]
        if error.status_code in FRAMEWORK_FAULTS
        else (),
    )
    return Response(body, error.status_code, error.headers, PROBLEM_TYPE)


async def _database(request: Request, error: Exception) -> Response:
    """Database away or busy: 503 and nothing half done. A broken unique rule that no use case foresaw: 409."""
    if isinstance(error, IntegrityError | asyncpg.IntegrityConstraintViolationError):
        log.error("request.integrity", error=type(error).__name__, constraint=_constraint(error))
        return _problem_response(
            request, ConflictError("somebody else did the same at this moment; read it again")
        )
    if is_database_trouble(error) or isinstance(error, PoolTimeoutError):
        log.warning("request.database_trouble", error=type(error).__name__)
        return _problem_response(
            request, UnavailableError("try again in a moment", headers={"Retry-After": "2"})
        )
    return await _unexpected(request, error)


def _constraint(error: Exception) -> str:
    """As the driver names it, under whatever SQLAlchemy has wrapped around its error."""
    under = getattr(getattr(error, "orig", None), "__cause__", None) or error
    return str(getattr(under, "constraint_name", ""))


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("request.failed", error=type(error).__name__, at=logs.places(error.__traceback__))
    return _problem_response(
        request, ProblemError("an unexpected fault; it is logged under the trace id")
    )


def _add_handlers(app: FastAPI) -> None:
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        RequestValidationError: _invalid,
        ProblemError: _problem,
        ClientDisconnect: _cut_off,
        StarletteHTTPException: _http,
        DBAPIError: _database,
        PoolTimeoutError: _database,
        OSError: _database,
        TimeoutError: _database,
        asyncpg.PostgresError: _database,
        asyncpg.InterfaceError: _database,
        asyncpg.InternalClientError: _database,  # what asyncpg stumbles over when the server dies amid a statement
        ResponseValidationError: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _unexpected)


class RequestScope:
    """Around every request: its context and its time. Pure ASGI, because it is on every path."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(16)
        trace = headers.get(b"traceparent", b"").decode("latin-1")
        trace = trace if _TRACEPARENT.fullmatch(trace) else ""
        started, answer = time.perf_counter(), _Answer(send, scope["path"], request_id)
        with context.using(Context(actor="anonymous", request_id=request_id, traceparent=trace)):
            try:
                await self.app(scope, receive, answer)
            except Exception as error:
                if answer.status:
                    raise
                await (await _unexpected(Request(scope), error))(scope, receive, answer)
            finally:
                route = getattr(scope.get("route"), "path", "unmatched")
                metrics.REQUESTS.labels(
                    self.service, scope["method"], route, answer.status
                ).observe(time.perf_counter() - started)


class _Answer:
    """The way out of one request: adds its id, and makes FastAPI's plain 413 a problem like every other."""

    def __init__(self, send: Send, path: str, request_id: str) -> None:
        self._send = send
        self._path = path
        self._request_id = request_id
        self._done = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if self._done:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and not self._is_problem(message):
                await self._too_large()
                return
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self._request_id.encode()),
            ]
        await self._send(message)

    def _is_problem(self, message: Message) -> bool:
        return (b"content-type", PROBLEM_TYPE.encode()) in message.get("headers", ())

    async def _too_large(self) -> None:
        body = problem_body(
            status=413,
            code="payload_too_large",
            title="The body is too large",
            detail="send less at once, or a smaller file",
            instance=self._path,
            trace_id=self._request_id,
            errors=[TOO_LARGE],
        )
        headers = [
            (b"content-type", PROBLEM_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", self._request_id.encode()),
            (b"connection", b"close"),
        ]
        self._done = True
        await self._send({"type": "http.response.start", "status": 413, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
