"""Around every request: its context, its reader and its duration."""

import re
import secrets
import time
from http import HTTPStatus
from urllib.parse import parse_qsl

import structlog
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import context, metrics
from shared.context import Context
from shared.errors import (
    PROBLEM_TYPE,
    DatabaseRestoredError,
    FieldError,
    InvalidInputError,
    InvalidValueError,
    ProblemError,
)
from shared.fields import CONTROL
from shared.http.problems import (
    MAX_ERRORS,
    MAX_FIELD_NAME,
    problem_response,
    too_large,
    unexpected,
)
from shared.pagination import QueryOfCursor, cursors_for
from shared.runtime.refusal import RefusalWatch
from shared.texts import Reader, choose_language, reading

LOGGED_SHARE = 100
"""Of the answers below 400 one in so many is logged."""
log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def _context_of(headers: dict[bytes, bytes]) -> Context:
    """A request's own id and trace where they have the form, else a new id and none."""
    request_id = headers.get(b"x-request-id", b"").decode("latin-1")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = secrets.token_hex(16)
    trace = headers.get(b"traceparent", b"").decode("latin-1")
    if not _TRACEPARENT.fullmatch(trace):
        trace = ""
    return Context(actor="anonymous", request_id=request_id, traceparent=trace)


def _fault_of_address(scope: Scope) -> InvalidInputError | None:
    """Control characters in the path or a query parameter; PostgreSQL takes no NUL in a text.

    Checked here for all parameters, because a declaration that forgets it answers 500.
    """
    faults: list[FieldError] = []
    if CONTROL.search(scope["path"]):
        faults.append(_with_control_characters("path"))
    query: bytes = scope["query_string"]
    # What is not escaped cannot be one: servers refuse bare control characters.
    if b"%" in query:
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if CONTROL.search(name):
                faults.append(_with_control_characters("query"))
            elif CONTROL.search(value):
                faults.append(_with_control_characters(name[:MAX_FIELD_NAME]))
    if not faults:
        return None
    number = len(faults)
    return InvalidInputError("{number} fault(s) in the request", faults[:MAX_ERRORS], number=number)


def _always_answered(service: str, method: str, *, path: str) -> bool:
    """Whether a service answers this also while its database is refused.

    Health and figures; the dead letters for the operator; and the keys of tokens, without which all
    other services would stand still.
    """
    if method != "GET":
        return False
    if path in {"/healthz", "/readyz", "/metrics"}:
        return True
    read = path.removeprefix(f"/api/v1/{service}/")
    return read == "jwks" or read.split("/")[0] == "dead-letters"


def _with_control_characters(field: str) -> FieldError:
    error = InvalidValueError("must not contain control characters")
    return FieldError.of(field, rule="value_error", error=error)


class RequestScope:
    """Pure ASGI, because it is on every path.

    Args:
        cursor_key: signs the cursors of this service, the same in all its processes.
        refusal: says whether the service's database must not be used.
        unreviewed: whether unreviewed texts are shown.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: str,
        *,
        cursor_key: bytes,
        refusal: RefusalWatch | None = None,
        unreviewed: bool = False,
    ) -> None:
        self.app = app
        self.service = service
        self._cursor_key = cursor_key
        self._refusal = refusal
        self._unreviewed = unreviewed
        self._well = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: PLR0917 - ASGI
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        about = _context_of(headers)
        request_id = about.request_id
        accepted = headers.get(b"accept-language", b"").decode("latin-1")
        reader = Reader(choose_language(accepted), self._unreviewed)
        query = QueryOfCursor(self._cursor_key, scope["path"], scope["query_string"])
        with context.using(about), reading(reader), cursors_for(query):
            await self._answer(scope, receive, send=send, request_id=request_id)

    def _refused(self, scope: Scope) -> ProblemError | None:
        if self._refusal is None or self._refusal.reason is None:
            return None
        if _always_answered(self.service, scope["method"], path=scope["path"]):
            return None
        return DatabaseRestoredError()

    async def _answer(self, scope: Scope, receive: Receive, *, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        answer = _Answer(scope, receive, send=send, request_id=request_id)
        try:
            fault = self._refused(scope) or _fault_of_address(scope)
            if fault is None:
                await self.app(scope, receive, answer)
            else:
                response = problem_response(Request(scope), fault)
                await response(scope, receive, answer)
        except Exception as error:
            if answer.status:
                raise
            response = await unexpected(Request(scope), error)
            await response(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            duration = time.perf_counter() - started
            metrics.REQUESTS.labels(self.service, scope["method"], route, answer.status).observe(
                duration
            )
            self._tell(scope["method"], route, status=answer.status, seconds=duration)

    def _tell(self, method: str, route: str, *, status: int, seconds: float) -> None:
        """Log an answer; of those that went well one in `LOGGED_SHARE`: the gateway has all."""
        if status < HTTPStatus.BAD_REQUEST:
            self._well += 1
            if self._well % LOGGED_SHARE:
                return
        log.info("request", method=method, route=route, status=status, ms=int(seconds * 1000))


class _Answer:
    """Sends the answer of one request with its id; FastAPI's plain 413 becomes a problem."""

    def __init__(self, scope: Scope, receive: Receive, *, send: Send, request_id: str) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = request_id.encode()
        self._replaced = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and not _is_problem(message):
                await self._refuse_body()
                return
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self._request_id),
            ]
        await self._send(message)

    async def _refuse_body(self) -> None:
        response = problem_response(Request(self._scope), too_large())
        response.headers["connection"] = "close"
        await response(self._scope, self._receive, self)
        self._replaced = True


def _is_problem(message: Message) -> bool:
    return (b"content-type", PROBLEM_TYPE.encode()) in message.get("headers", ())
