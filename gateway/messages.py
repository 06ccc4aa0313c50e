"""Heads of requests and answers: what passes, what only the gateway may say, and the gateway's own answers."""

import os
import re

import aiohttp
from multidict import CIMultiDict
from starlette.types import Message, Scope, Send

from shared.errors import PROBLEM_TYPE, problem_body

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade".split()
)
OURS = frozenset(b"forwarded x-real-ip x-request-id traceparent tracestate via expect host".split())
OUR_KINDS = (b"x-forwarded-", b"x-user")
NEVER_PASSED = HOP_BY_HOP | OURS
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
HIDDEN = HOP_BY_HOP | {b"x-request-id", b"server"}
TRACE_ID = re.compile(r"[0-9a-f]{16}(?!0{16})[0-9a-f]{16}")
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Headers = list[tuple[bytes, bytes]]


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """The gateway's own answer."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        wait: float | None = None,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = headers or []
        if wait is not None:
            self.headers = [*self.headers, (b"retry-after", b"%d" % (int(wait) + 1))]


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

    async def refuse(self, refusal: Refusal, scope: Scope, request_id: str) -> None:
        body = problem_body(
            status=refusal.status,
            code=refusal.code,
            title=refusal.title,
            detail=refusal.detail,
            instance=scope["path"],
            trace_id=request_id,
        )
        headers = [(b"content-type", PROBLEM_TYPE.encode()), (b"content-length", b"%d" % len(body)), *refusal.headers]
        await self({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def value(headers: Headers, name: bytes) -> str:
    for key, found in headers:  # a plain loop: asked six times a request
        if key == name:
            return found.decode("latin-1")
    return ""


def kept(headers: Headers, name: bytes, form: re.Pattern[str]) -> str | None:
    """A header's value when it has the right form."""
    found = value(headers, name)
    return found if form.fullmatch(found) else None


def outgoing(headers: Headers, address: str, request_id: str) -> CIMultiDict[str]:
    """What the service gets: no hop-by-hop header, nothing that only the gateway may say."""
    named = {part.strip().lower() for key, value in headers if key == b"connection" for part in value.split(b",")}
    passed: CIMultiDict[str] = CIMultiDict()
    for key, content in headers:
        if key not in NEVER_PASSED and key not in named and not key.startswith(OUR_KINDS):
            passed.add(key.decode("latin-1"), content.decode("latin-1"))
    passed["x-forwarded-for"] = address
    passed["x-request-id"] = request_id
    passed["traceparent"] = kept(headers, b"traceparent", TRACEPARENT) or _new_trace(request_id)
    return passed


def _new_trace(request_id: str) -> str:
    """A trace that carries the request's own id where it can: one id to search by."""
    trace = request_id if TRACE_ID.fullmatch(request_id) else os.urandom(16).hex()
    return f"00-{trace}-{trace[16:]}-01"


def incoming(answer: aiohttp.ClientResponse) -> Headers:
    """What the caller gets of the service's head."""
    return [(key.lower(), value) for key, value in answer.raw_headers if key.lower() not in HIDDEN]
