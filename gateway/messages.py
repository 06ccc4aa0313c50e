"""Headers of requests and answers: what passes, and what only the gateway may set."""

import os
import re

from starlette.types import Message, Scope, Send

from gateway.problems import Headers, RefusalError

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
SET_BY_GATEWAY = frozenset(
    {
        b"forwarded",
        b"x-real-ip",
        b"x-request-id",
        b"traceparent",
        b"tracestate",
        b"via",
        b"expect",
        b"host",
        b"content-length",
    }
)
SET_BY_GATEWAY_PREFIXES = (b"x-forwarded-", b"x-user")
NEVER_PASSED = HOP_BY_HOP | SET_BY_GATEWAY
HIDDEN = HOP_BY_HOP | {b"x-request-id", b"server"}
"""Headers of a service's answer that the caller does not get."""
BODYLESS = frozenset({204, 304})
HIDDEN_OF_BODYLESS = HIDDEN | {b"content-length"}
"""uvicorn would wait for the bytes of a length that such an answer may name."""
ORDINARY_CONNECTION = frozenset({b"keep-alive", b"close"})
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
TRACE_ID = re.compile(r"[0-9a-f]{16}(?!0{16})[0-9a-f]{16}")
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class ClientGone(Exception):  # noqa: N818 - no error of ours: the caller closed the connection
    """The caller closed the connection."""


class Answer:
    """Sends the answer of one request: adds the gateway's headers and remembers the status.

    `status` is 0 until the answer has begun.
    """

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.added: Headers = [(b"x-request-id", request_id.encode())]
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [header for header in message["headers"] if header[0] != b"x-request-id"]
            message = {**message, "headers": [*headers, *self.added]}
        await self._send(message)

    async def refuse(
        self,
        refusal: RefusalError,
        scope: Scope,
        *,
        request_id: str,
        unreviewed: bool,
        languages: tuple[str, ...],
    ) -> None:
        """Answer with a problem document of the gateway."""
        headers, body = refusal.answer(
            scope, request_id=request_id, unreviewed=unreviewed, languages=languages
        )
        if scope["method"] == "HEAD":
            body = b""
        await self({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def value(headers: Headers, name: bytes) -> str:
    """The first value of a header, "" when it is not there."""
    for key, found in headers:  # a plain loop is fastest, and this runs six times a request
        if key == name:
            return found.decode("latin-1")
    return ""


def kept(headers: Headers, name: bytes, *, form: re.Pattern[str]) -> str | None:
    """A header's value when it has the right form, else None."""
    found = value(headers, name)
    if form.fullmatch(found):
        return found
    return None


def outgoing(headers: Headers, address: str, *, request_id: str) -> Headers:
    """What the service gets: nothing hop-by-hop, and nothing that only the gateway may set.

    The length of the body is added by whoever sends the body.
    """
    never = _never_passed(headers, NEVER_PASSED)
    passed: Headers = []
    for name, content in headers:
        if name not in never and not name.startswith(SET_BY_GATEWAY_PREFIXES):
            passed.append((name, content))
    trace = kept(headers, b"traceparent", form=TRACEPARENT) or _new_trace(request_id)
    passed.append((b"x-forwarded-for", address.encode("latin-1")))
    passed.append((b"x-request-id", request_id.encode()))
    passed.append((b"traceparent", trace.encode()))
    return passed


def incoming(headers: Headers, status: int) -> Headers:
    """What the caller gets of the service's headers."""
    always = HIDDEN_OF_BODYLESS if status in BODYLESS else HIDDEN
    hidden = _never_passed(headers, always)
    return [header for header in headers if header[0] not in hidden]


def _never_passed(headers: Headers, always: frozenset[bytes]) -> frozenset[bytes]:
    """`always`, and the headers that the header `Connection` names."""
    named: set[bytes] = set()
    for name, content in headers:
        if name == b"connection" and content not in ORDINARY_CONNECTION:
            named.update(part.strip().lower() for part in content.split(b","))
    if not named:
        return always
    # The length of the body is checked and must not be removed by a caller.
    return always | (named - {b"content-length"})


def _new_trace(request_id: str) -> str:
    """A trace that carries the request's own id where it can, so that one id finds both."""
    trace = os.urandom(16).hex()
    if TRACE_ID.fullmatch(request_id):
        trace = request_id
    return f"00-{trace}-{trace[16:]}-01"
