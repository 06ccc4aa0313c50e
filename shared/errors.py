"""Errors: a class with a status and a stable code; rendered as RFC 9457 problem details.

Business code raises these classes and knows nothing of HTTP; `shared.http.problems` turns them into
`application/problem+json` with `type, title, status, detail, instance, code, errors[], trace_id`.
Texts are English templates; `shared.texts` has them in the reader's language.
"""

import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

import orjson
from pydantic_core import ErrorDetails, PydanticKnownError, ValidationError

from shared.texts import Choices, Reader, current_reader, render, translate

PROBLEM_TYPE = "application/problem+json"
MAX_FIELDS = 5
"""Fields that are named of one error."""
FIELD_NAME = re.compile(r"[a-z_][a-z_0-9]{0,50}")


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
    """One error of the input: where it is, the rule it breaks, and a text that a person can act on.

    `message` is the English template, `params` fill its placeholders. `row` is the 1-based row of
    a batch or file, None elsewhere.
    """

    field: str
    rule: str
    message: str
    row: int | None
    params: Mapping[str, object]
    context: str
    """Of the text in the catalogues: the rule, or `value_error` for the text of a value's check."""

    def __init__(
        self, field: str, rule: str, *, message: str, row: int | None = None, **params: object
    ) -> None:
        object.__setattr__(self, "field", field)
        object.__setattr__(self, "context", rule)
        object.__setattr__(self, "rule", rule)
        object.__setattr__(self, "message", message)
        object.__setattr__(self, "row", row)
        object.__setattr__(self, "params", params)

    @classmethod
    def at(cls, field: str, rule: Rule, *, row: int | None = None) -> "FieldError":
        """The rule as broken by `field`."""
        return cls(field, rule.name, message=rule.message, row=row, **rule.params)

    @classmethod
    def of(
        cls, field: str, *, rule: str, error: ValueError, row: int | None = None
    ) -> "FieldError":
        """The rule as broken by `field`, with the text of the check that refused the value."""
        message, params = str(error), dict[str, object]()
        if isinstance(error, InvalidValueError):
            message, params = error.message, error.params
        found = cls(field, rule, message=message, row=row, **params)
        object.__setattr__(found, "context", "value_error")
        return found

    def renamed(self, field: str) -> "FieldError":
        """The same error of a field that the reader knows by another name."""
        found = copy(self)
        object.__setattr__(found, "field", field)
        return found

    def as_rule(self, rule: str) -> "FieldError":
        """The same error and text as a breach of another, wider rule."""
        found = copy(self)
        object.__setattr__(found, "rule", rule)
        return found

    def in_row(self, row: int) -> "FieldError":
        """The same error in this row of a batch or file."""
        found = copy(self)
        object.__setattr__(found, "row", row)
        return found

    def text(self, reader: Reader | None = None) -> str:
        """The message in the language of `reader`, by default of the request at hand."""
        language, unreviewed, _ = reader or current_reader()
        return render(
            self.context,
            message=self.message,
            params=self.params,
            language=language,
            unreviewed=unreviewed,
        )

    def as_dict(self, reader: Reader | None = None) -> dict[str, str | int]:
        """The entry of `errors` in an answer, or of a stored verdict."""
        entry: dict[str, str | int] = {
            "field": self.field,
            "rule": self.rule,
            "message": self.text(reader),
        }
        return entry if self.row is None else {"row": self.row, **entry}


class InvalidValueError(ValueError):
    """Raised by validators of Pydantic models: a text with placeholders, shown in every language.

    The rule of the error is `value_error`.
    """

    def __init__(self, message: str, **params: object) -> None:
        super().__init__(render("value_error", message=message, params=params, language="en"))
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
        return self.text(Reader("en"))

    def text(self, reader: Reader | None = None) -> str:
        """The detail in the language of `reader`, by default of the request at hand."""
        language, unreviewed, _ = reader or current_reader()
        return render(
            self.code,
            message=self.template,
            params=self.params,
            language=language,
            unreviewed=unreviewed,
        )

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class InvalidInputError(ProblemError):
    """The request itself is malformed; `errors` lists every fault at once."""

    status, code, title = 400, "invalid_input", "The request has faults"


class UnauthenticatedError(ProblemError):
    """No token, or an invalid one. The text never tells which check failed."""

    status, code, title = 401, "invalid_token", "Sign in first"


class StepUpRequiredError(ProblemError):
    """The account's assurance level is too low for this act (RFC 9470 challenge)."""

    status, code, title = 401, "insufficient_user_authentication", "A stronger sign-in is needed"


class ForbiddenError(ProblemError):
    """The caller is known and lacks the right."""

    status, code, title = 403, "forbidden", "Not allowed"


class NotFoundError(ProblemError):
    """It does not exist, or belongs to somebody else: the answer is the same."""

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
    """A rate limit is reached; `Retry-After` says when to repeat."""

    status, code, title = 429, "too_many_requests", "Too many requests"


class DatabaseRestoredError(ProblemError):
    """The database was restored to an earlier moment; an operator decides how it goes on."""

    status, code, title = 503, "database_restored", "Stopped for repair"

    def __init__(self) -> None:
        super().__init__(
            "the data of this service were restored to an earlier moment; it accepts nothing"
            " before an operator has decided how it goes on",
            headers={"Retry-After": "60"},
        )


class UnavailableError(ProblemError):
    """A part that this service needs is down; `Retry-After` says when to repeat."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"


class StorageFullError(ProblemError):
    """Uploads have no room left; `Retry-After` says when to repeat."""

    status, code, title = 507, "storage_full", "The storage is full"


def failed_fields(error: BaseException) -> list[str]:
    """The fields that an error is about, with the broken rule; never a value.

    Known of errors of validation, of the database, and of the envelope of an event.
    """
    if isinstance(error, ValidationError):
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        return [f"{_named_place(fault['loc'])} ({fault['type']})" for fault in faults[:MAX_FIELDS]]
    field: str | None = getattr(error, "field", None)
    if field is not None:
        return [field]
    under = getattr(getattr(error, "orig", None), "__cause__", None) or error
    names = [
        getattr(under, name, None) for name in ("table_name", "column_name", "constraint_name")
    ]
    told = [name for name in names if isinstance(name, str)]
    return [".".join(told)] if told else []


def _named_place(place: Sequence[int | str]) -> str:
    """A field's place; a key that is no name of a field could be data."""
    parts: list[str] = []
    for part in place:
        if isinstance(part, str) and not FIELD_NAME.fullmatch(part):
            parts.append("*")
        else:
            parts.append(str(part))
    return ".".join(parts) or "*"


def problem_body(
    problem: ProblemError,
    *,
    instance: str,
    trace_id: str,
    reader: Reader | None = None,
    status: int | None = None,
    code: str | None = None,
) -> bytes:
    """RFC 9457 problem document as UTF-8 JSON, in the language of `reader`.

    `status` and `code` replace those of the problem's class.
    """
    language, unreviewed, _ = reader or current_reader()
    answered_code = code or problem.code
    document = {
        "type": f"urn:tongban:problem:{answered_code}",
        "title": translate(
            problem.code, message=problem.title, language=language, unreviewed=unreviewed
        ),
        "status": status or problem.status,
        "detail": problem.text(reader),
        "instance": instance,
        "code": answered_code,
        "errors": [error.as_dict(reader) for error in problem.errors],
        "trace_id": trace_id,
        **problem.extra,
    }
    return orjson.dumps(document)


def status_title(status: int) -> str:
    """The English phrase of an HTTP status."""
    return HTTPStatus(status).phrase


PYDANTIC_TEMPLATES = {
    # Pydantic's own text repeats the refused value.
    "union_tag_invalid": "Input should have {discriminator} {expected_tags}",
}
"""Texts for error types of Pydantic whose own text may not be shown."""
_COUNTS = ("min_length", "max_length", "max_digits", "decimal_places", "whole_digits")
_LISTED = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^\s,'\"]+)")


def pydantic_error(fault: ErrorDetails, field: str) -> FieldError:
    """An error that Pydantic found, as one of ours about `field`.

    It never holds the refused value.
    """
    rule = fault["type"]
    context: Mapping[str, Any] = fault.get("ctx", {})  # as Pydantic's validators fill it
    error = context.get("error")
    if isinstance(error, InvalidValueError):
        return FieldError.of(field, rule=rule, error=error)
    if rule in {"value_error", "assertion_error"}:
        return FieldError(field, rule, message=fault["msg"].partition(", ")[2])
    template = _pydantic_template(rule, context)
    if template is None:
        return FieldError(field, rule, message=fault["msg"])
    return FieldError(field, rule, message=template, row=None, **_pydantic_params(context))


def _pydantic_template(rule: str, context: Mapping[str, Any]) -> str | None:
    """The text of one of Pydantic's error types; None for a type that a validator has made up."""
    if rule in PYDANTIC_TEMPLATES:
        return PYDANTIC_TEMPLATES[rule]
    try:
        # The types are a closed list to the type checker; which one this is, is known only now.
        known: Any = PydanticKnownError(rule, dict(context))  # pyright: ignore[reportArgumentType]
        return str(known.message_template)
    except (KeyError, TypeError, ValueError):
        return None


def _pydantic_params(context: Mapping[str, Any]) -> dict[str, object]:
    params: dict[str, object] = {}
    for name, value in context.items():
        if name in {"expected", "expected_tags", "expected_schemes"}:
            params[name] = _choices(str(value))
        elif isinstance(value, float) and value.is_integer():
            params[name] = int(value)
        elif name != "tag":
            params[name] = value
    for name in _COUNTS:
        if name in context:
            params["expected_plural"] = "" if context[name] == 1 else "s"
    return params


def _choices(listed: str) -> Choices:
    """The values in Pydantic's `'a', 'b' or 3`."""
    found: list[str] = []
    for single, double, bare in _LISTED.findall(listed):
        if bare != "or":
            found.append(single or double or bare)
    return Choices(found)
