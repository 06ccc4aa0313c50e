"""Errors: a class with a status and a stable code; one handler renders all as RFC 9457 problem details.

Business code raises these classes and knows nothing of HTTP; `shared.http.app` turns them into
`application/problem+json` with `type, title, status, detail, instance, code, errors[], trace_id`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar

import orjson

PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True)
class FieldError:
    """One fault of the input: where it is, the rule it breaks, and words that a person can act on.

    `row` is the 1-based row of a batch or file, absent elsewhere.
    """

    field: str
    rule: str
    message: str
    row: int | None = None

    def as_dict(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"field": self.field, "rule": self.rule, "message": self.message}
        return entry if self.row is None else {"row": self.row, **entry}


@dataclass
class ProblemError(Exception):
    """Base of all errors with an answer. `extra` members are added to the body, `headers` to the answer."""

    detail: str
    errors: Sequence[FieldError] = ()
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    headers: dict[str, str] = field(default_factory=dict[str, str])

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class InvalidInputError(ProblemError):
    """The request itself is malformed; `errors` lists every fault at once."""

    status, code, title = 400, "invalid_input", "The request has faults"


class UnauthenticatedError(ProblemError):
    """No token, or one that does not hold. The words never tell which check failed."""

    status, code, title = 401, "invalid_token", "Sign in first"


class StepUpRequiredError(ProblemError):
    """The account's assurance level is too low for this act (RFC 9470 challenge)."""

    status, code, title = 401, "insufficient_user_authentication", "A stronger sign-in is needed"


class ForbiddenError(ProblemError):
    """Known, and not allowed."""

    status, code, title = 403, "forbidden", "Not allowed"


class NotFoundError(ProblemError):
    """Not there, or not yours: the two are never told apart."""

    status, code, title = 404, "not_found", "Not found"


class ConflictError(ProblemError):
    """A business rule forbids it in the present state."""

    status, code, title = 409, "conflict", "Not possible in the present state"


class PreconditionFailedError(ProblemError):
    """`If-Match` names an older version: read again, then repeat."""

    status, code, title = 412, "stale_version", "Somebody changed it meanwhile"


class UnprocessableError(ProblemError):
    """Well-formed, but contradicts itself or an earlier request."""

    status, code, title = 422, "unprocessable", "The request contradicts itself"


class PreconditionRequiredError(ProblemError):
    """A change of a shared record without `If-Match`."""

    status, code, title = 428, "precondition_required", "If-Match is required"


class TooManyRequestsError(ProblemError):
    """A budget is used up; `Retry-After` tells when to come back."""

    status, code, title = 429, "too_many_requests", "Too many requests"


class UnavailableError(ProblemError):
    """Something this service needs is down for the moment."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"


def problem_body(
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    instance: str,
    trace_id: str,
    errors: Iterable[FieldError] = (),
    extra: dict[str, Any] | None = None,
) -> bytes:
    """RFC 9457 problem document as UTF-8 JSON."""
    document = {
        "type": f"urn:tongban:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "errors": [error.as_dict() for error in errors],
        "trace_id": trace_id,
        **(extra or {}),
    }
    return orjson.dumps(document)


def status_title(status: int) -> str:
    return HTTPStatus(status).phrase
