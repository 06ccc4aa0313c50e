"""Heads of requests and answers: what passes, what only the gateway may say, and the gateway's own answers."""

import os
import re

from starlette.types import Message, Scope, Send

from gateway.problems import Headers, RefusalError

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade".split()
)
OURS = frozenset(
    b"forwarded x-real-ip x-request-id traceparent tracestate via expect host content-length".split()
)
OUR_KINDS = (b"x-forwarded-", b"x-user")
NEVER_PASSED = HOP_BY_HOP | OURS
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
HIDDEN = HOP_BY_HOP | {b"x-request-id", b"server"}
BODYLESS = frozenset({204, 304})
HIDDEN_OF_BODYLESS = HIDDEN | {b"content-length"}
"""uvicorn would wait for the bytes of a length that such an answer may name."""
ORDINARY_CONNECTION = frozenset({b"keep-alive", b"close"})
TRACE_ID = re.compile(r"[0-9a-f]{16}(?!0{16})[0-9a-f]{16}")
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class ClientGone(Exception):  # noqa: N818 - nobody is left to be told
    """The caller closed the connection."""


class Answer:
    """The way out of one request: adds what only the gateway says, remembers the status (0: not begun)."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.added: Headers = [(b"x-request-id", request_id.encode())]
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            kept = [(key, value) for key, value in message["headers"] if key != b"x-request-id"]
            message = {**message, "headers": [*kept, *self.added]}
        await self._send(message)

    async def refuse(
        self, refusal: RefusalError, scope: Scope, *, request_id: str, unreviewed: bool
    ) -> None:
        """Answer with a problem document of the gateway."""
        headers, body = refusal.answer(scope, request_id=request_id, unreviewed=unreviewed)
        if scope["method"] == "HEAD":
            body = b""
        await self({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def value(headers: Headers, name: bytes) -> str:
    for key, found in headers:  # a plain loop: asked six times a request
        if key == name:
            return found.decode("latin-1")
    return ""


def kept(headers: Headers, name: bytes, form: re.Pattern[str]) -> str | None:
    """A header's value when it has the right form."""
    found = value(headers, name)
    return found if form.fullmatch(found) else None


def outgoing(headers: Headers, address: str, request_id: str) -> Headers:
    """What the service gets: no hop-by-hop header, nothing that only the gateway may say; the body's length is added by whoever
    sends the body.
    """
    never, passed = _never(headers, NEVER_PASSED), Headers()
    for name, content in headers:
        if name not in never and not name.startswith(OUR_KINDS):
            passed.append((name, content))
    trace = kept(headers, b"traceparent", TRACEPARENT) or _new_trace(request_id)
    passed += (
        (b"x-forwarded-for", address.encode("latin-1")),
        (b"x-request-id", request_id.encode()),
        (b"traceparent", trace.encode()),
    )
    return passed


def incoming(headers: Headers, status: int) -> Headers:
    """What the caller gets of the service's head."""
    hidden = _never(headers, HIDDEN if status not in BODYLESS else HIDDEN_OF_BODYLESS)
    return [header for header in headers if header[0] not in hidden]


def _never(headers: Headers, always: frozenset[bytes]) -> frozenset[bytes]:
    """What does not pass: `always`, and what the header `Connection` names."""
    lines = [content for name, content in headers if name == b"connection"]
    if all(line in ORDINARY_CONNECTION for line in lines):
        return always
    return always | {part.strip().lower() for line in lines for part in line.split(b",")} - {
        b"content-length"
    }


def _new_trace(request_id: str) -> str:
    """A trace that carries the request's own id where it can: one id to search by."""
    trace = request_id if TRACE_ID.fullmatch(request_id) else os.urandom(16).hex()
    return f"00-{trace}-{trace[16:]}-01"
