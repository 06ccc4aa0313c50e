"""The gateway's own refusals, as problem documents in the caller's language."""

from collections.abc import Sequence

from starlette.types import Scope

from shared.errors import PROBLEM_TYPE, ProblemError, problem_body
from shared.texts import Reader, choose_language

Headers = list[tuple[bytes, bytes]]


class RefusalError(ProblemError):
    """An answer of the gateway itself.

    Args:
        detail: English template; `params` fill its placeholders.
        wait: seconds after which the caller may repeat (`Retry-After`, rounded up).
        wire_headers: further headers of the answer.
    """

    def __init__(
        self,
        detail: str,
        *,
        wait: float | None = None,
        wire_headers: Sequence[tuple[bytes, bytes]] = (),
        **params: object,
    ) -> None:
        super().__init__(detail)
        self.params = params
        self.wire_headers: Headers = list(wire_headers)
        if wait is not None:
            self.wire_headers.append((b"retry-after", b"%d" % (int(wait) + 1)))

    def answer(
        self, scope: Scope, *, request_id: str, unreviewed: bool, languages: tuple[str, ...]
    ) -> tuple[Headers, bytes]:
        """Headers and body of the problem document."""
        accepted = b""
        for name, value in scope["headers"]:
            if name == b"accept-language":
                accepted = value
        language = choose_language(accepted.decode("latin-1"), languages)
        reader = Reader(language, unreviewed, languages)
        body = problem_body(self, instance=scope["path"], trace_id=request_id, reader=reader)
        headers: Headers = [
            (b"content-type", PROBLEM_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"content-language", reader.language.encode()),
            (b"vary", b"Accept-Language"),
            *self.wire_headers,
        ]
        return headers, body


class BadRequestError(RefusalError):
    """The request could be read in two ways, or its body does not match its head."""

    status, code, title = 400, "bad_request", "Bad request"


class InvalidTokenError(RefusalError):
    """No token where one is needed, or one that is not valid."""

    status, code, title = 401, "invalid_token", "Sign in first"


class NoRouteError(RefusalError):
    """The path is not in the route table."""

    status, code, title = 404, "not_found", "Not found"


class RequestTimeoutError(RefusalError):
    """The caller stopped sending its body."""

    status, code, title = 408, "request_timeout", "Request timeout"


class PayloadTooLargeError(RefusalError):
    """The body is larger than the gateway passes on."""

    status, code, title = 413, "payload_too_large", "The body is too large"


class TooManyRequestsError(RefusalError):
    """A rate limit, or the limit of requests in flight of one address, is reached."""

    status, code, title = 429, "too_many_requests", "Too many requests"


class BadGatewayError(RefusalError):
    """The service cannot be reached or broke off."""

    status, code, title = 502, "bad_gateway", "Bad gateway"


class OverloadedError(RefusalError):
    """The gateway has all the requests in flight that it may have."""

    status, code, title = 503, "overloaded", "Temporarily unavailable"


class UnavailableError(RefusalError):
    """The service does not run here, or its circuit is open."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"


class GatewayTimeoutError(RefusalError):
    """The service was silent for too long."""

    status, code, title = 504, "upstream_timeout", "Gateway timeout"
