"""Problem documents of a service: every exception becomes an answer in the reader's language."""

from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from pydantic_core import ErrorDetails
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import (
    HTTPException as StarletteHTTPException,  # noqa: TID251 - rendered here, raised nowhere
)
from starlette.requests import ClientDisconnect

from shared import context, logs
from shared.database.session import is_database_trouble
from shared.errors import (
    PROBLEM_TYPE,
    ConflictError,
    FieldError,
    InvalidInputError,
    NotFoundError,
    ProblemError,
    UnavailableError,
    problem_body,
    pydantic_error,
    status_title,
)
from shared.texts import current_reader

MAX_ERRORS = 100
"""Errors listed in one answer: a small body may have very many."""
MAX_FIELD_NAME = 200
"""Characters of a field's name in an answer: an error about a long name repeats it."""
LANGUAGE_DEPENDS_ON = "Accept-Language"
PLACES = frozenset({"body", "query", "path", "header", "cookie"})
log = structlog.get_logger(__name__)


class MalformedRequestError(ProblemError):
    """The framework could not read the request."""

    status, code, title = 400, "bad_request", "The request cannot be read"


class MethodNotAllowedError(ProblemError):
    """The address exists and does not take this method."""

    status, code, title = 405, "method_not_allowed", "The method is not allowed"


class BodyTooLargeError(ProblemError):
    """A body over the limit, found while it was read."""

    status, code, title = 413, "request_entity_too_large", "The body is too large"


class PayloadTooLargeError(ProblemError):
    """A body over the limit, refused before it was read."""

    status, code, title = 413, "payload_too_large", "The body is too large"


class RefusedError(ProblemError):
    """Any other status that the framework answers by itself."""

    status, code, title = 400, "refused", "The request is refused"


TOO_LARGE = FieldError("body", "max_bytes", message="larger than this endpoint takes")


def problem_response(
    request: Request, problem: ProblemError, *, status: int | None = None, code: str | None = None
) -> Response:
    """The answer to a problem; `status` and `code` replace those of its class."""
    reader = current_reader()
    body = problem_body(
        problem,
        instance=request.url.path,
        trace_id=context.current().request_id,
        reader=reader,
        status=status,
        code=code,
    )
    headers = {
        **problem.headers,
        "content-language": reader.language,
        "vary": LANGUAGE_DEPENDS_ON,
    }
    return Response(body, status or problem.status, headers, PROBLEM_TYPE)


def too_large() -> PayloadTooLargeError:
    return PayloadTooLargeError("send less at once, or a smaller file", [TOO_LARGE])


def _field_name(location: Sequence[str | int]) -> str:
    """`("body", "materials", 2, "code")` → `materials[2].code`; parameters keep their own name."""
    parts = location
    if len(location) > 1 and location[0] in PLACES:
        parts = location[1:]
    name = ""
    for part in parts:
        if isinstance(part, int):
            name += f"[{part}]"
        elif name:
            name += f".{part}"
        else:
            name = part
    return name[:MAX_FIELD_NAME] or "body"


def validation_errors(errors: Sequence[ErrorDetails]) -> list[FieldError]:
    """What Pydantic found, as our errors; the refused value itself is never repeated."""
    return [pydantic_error(error, _field_name(error["loc"])) for error in errors]


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    number = len(errors)
    listed = validation_errors(errors[:MAX_ERRORS])
    if number > MAX_ERRORS:
        problem = InvalidInputError(
            "{number} fault(s) in the request; {more} of them are not listed",
            listed,
            number=number,
            more=number - MAX_ERRORS,
        )
    else:
        problem = InvalidInputError("{number} fault(s) in the request", listed, number=number)
    return problem_response(request, problem)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(request, error)


async def _cut_off(request: Request, _error: Exception) -> Response:
    """The client left in the middle of its body; nothing is stored."""
    fault = FieldError("body", "complete", message="the connection ended before the body did")
    return problem_response(request, InvalidInputError("the body is cut off", [fault]))


async def _http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses before an endpoint sees it."""
    assert isinstance(error, StarletteHTTPException)
    status = error.status_code
    code = None
    match status:
        case 400:
            unreadable = FieldError("body", "readable", message="cannot be read")
            problem = MalformedRequestError("the body cannot be read", [unreadable])
        case 404:
            problem = NotFoundError("there is nothing at this address")
        case 405:
            problem = MethodNotAllowedError("this address does not take this method")
        case 413:
            problem = BodyTooLargeError("send less at once, or a smaller file", [TOO_LARGE])
        case _:
            problem = RefusedError("the request is refused with status {status}", status=status)
            code = status_title(status).lower().replace(" ", "_")
    problem.headers.update(error.headers or {})
    return problem_response(request, problem, status=status, code=code)


async def _database(request: Request, error: Exception) -> Response:
    """503 while the database is away or busy; 409 for a unique rule that no use case foresaw."""
    if isinstance(error, IntegrityError | asyncpg.IntegrityConstraintViolationError):
        log.error("request.integrity", error=type(error).__name__, constraint=_constraint(error))
        return problem_response(
            request, ConflictError("somebody else did the same at this moment; read it again")
        )
    if is_database_trouble(error) or isinstance(error, PoolTimeoutError):
        log.warning("request.database_trouble", error=type(error).__name__)
        return problem_response(
            request, UnavailableError("try again in a moment", headers={"Retry-After": "2"})
        )
    return await unexpected(request, error)


def _constraint(error: Exception) -> str:
    """The constraint's name, from the driver's error below what SQLAlchemy wrapped around it."""
    under = getattr(getattr(error, "orig", None), "__cause__", None) or error
    return str(getattr(under, "constraint_name", ""))


async def unexpected(request: Request, error: Exception) -> Response:
    """500 for an exception that nothing else handles; only its class and place are logged."""
    log.error("request.failed", error=type(error).__name__, at=logs.places(error.__traceback__))
    return problem_response(
        request, ProblemError("an unexpected fault; it is logged under the trace id")
    )


def add_handlers(app: FastAPI) -> None:
    """Register a handler for every class of exceptions that has an answer of its own."""
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
        # asyncpg raises it when the server dies in the middle of a statement.
        asyncpg.InternalClientError: _database,
        ResponseValidationError: unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, unexpected)
