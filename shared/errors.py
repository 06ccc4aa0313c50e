"""Errors: a class with a status and a stable code; one handler renders all as RFC 9457 problem details.

Business code raises these classes and knows nothing of HTTP; `shared.http.app` turns them into
`application/problem+json` with `type, title, status, detail, instance, code, errors[], trace_id`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

import orjson

from shared.texts import DEFAULT_LANGUAGE, render

PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True, init=False)
class Rule:
    """A broken rule that is not tied to a field yet: its stable name and the text about it.

    `message` is the English template; `params` fill its placeholders.
    """

    name: str
    message: str
    params: Mapping[str, object]

    def __init__(self, name: str, message: str, **params: object) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "message", message)
        object.__setattr__(self, "params", params)


@dataclass(frozen=True, init=False)
class FieldError:
    """One fault of the input: where it is, the rule it breaks, and a text that a person can act on.

    `message` is the English template, `params` fill its placeholders. `row` is the 1-based row of
    a batch or file, None elsewhere.
    """

    field: str
    rule: str
    message: str
    row: int | None
    params: Mapping[str, object]

    def __init__(
        self, field: str, rule: str, message: str, row: int | None = None, **params: object
    ) -> None:
        object.__setattr__(self, "field", field)
        object.__setattr__(self, "rule", rule)
        object.__setattr__(self, "message", message)
        object.__setattr__(self, "row", row)
        object.__setattr__(self, "params", params)

    @classmethod
    def at(cls, field: str, rule: Rule, *, row: int | None = None) -> "FieldError":
        """The rule as broken by `field`."""
        return cls(field, rule.name, rule.message, row=row, **rule.params)

    def as_dict(
        self, *, language: str = DEFAULT_LANGUAGE, unreviewed: bool = False
    ) -> dict[str, str | int]:
        """The entry of `errors` in an answer, or of a stored verdict."""
        text = render(
            self.rule, self.message, self.params, language=language, unreviewed=unreviewed
        )
        entry: dict[str, str | int] = {"field": self.field, "rule": self.rule, "message": text}
        return entry if self.row is None else {"row": self.row, **entry}


class InvalidValueError(ValueError):
    """Raised by validators of Pydantic models: a text with placeholders, shown in every language.

    The rule of the fault is `value_error`.
    """

    def __init__(self, message: str, **params: object) -> None:
        super().__init__(message.format_map(params) if params else message)
        self.message = message
        self.params = params


class ProblemError(Exception):
    """Base of all errors with an answer.

    `detail` is an English template whose placeholders `params` fill. `extra` members are added to
    the body, `headers` to the answer.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        errors: Sequence[FieldError] = (),
        *,
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        **params: object,
    ) -> None:
        super().__init__(detail)
        self.template = detail
        self.params = params
        self.errors = errors
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})

    @property
    def detail(self) -> str:
        """The English text, for logs."""
        return self.template.format_map(self.params) if self.params else self.template

    def text(self, *, language: str = DEFAULT_LANGUAGE, unreviewed: bool = False) -> str:
        """The detail as a person reads it."""
        return render(
            self.code, self.template, self.params, language=language, unreviewed=unreviewed
        )

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
    extra: Mapping[str, object] | None = None,
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
