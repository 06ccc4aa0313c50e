"""The forwarder: one plain ASGI function between callers and services (docs/adr/0007).

It judges the token once, strips what only it may say, limits, streams both ways, and answers for a service that cannot.
"""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
from multidict import CIMultiDict
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from yarl import URL

from gateway.limits import Breaker, Buckets
from gateway.routes import Route, find_route
from gateway.settings import Settings
from shared import clock
from shared.errors import PROBLEM_TYPE, problem_body
from shared.tokens import Caller, TokenError, TokenVerifier

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade".split()
)
OURS = re.compile(rb"x-forwarded-.*|forwarded|x-real-ip|x-user.*|x-request-id|traceparent|tracestate|via|expect|host")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS"})
WATCH_AFTER = 0.1
"""Seconds before the caller's connection is watched: most answers are there sooner, and watching costs."""
LOW_SHARE = 0.7
"""Above this share of the places in flight, low-priority requests are shed."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """The gateway's own answer."""

    def __init__(self, status: int, code: str, title: str, detail: str, **headers: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class ClientGone(Exception):  # noqa: N818 - nobody is left to be told
    """The caller closed the connection."""


class Forwarder:
    """`upstreams`: service → base URL, or an ASGI app in this process."""

    def __init__(self, settings: Settings, upstreams: Mapping[str, str | ASGIApp], verifier: TokenVerifier) -> None:
        self._settings = settings
        self._upstreams = upstreams
        self._verifier = verifier
        self._addresses = Buckets(settings.rate_per_address, settings.burst)
        self._callers = Buckets(settings.rate_per_caller, settings.burst)
        self._breakers = {name: Breaker(settings.breaker_failures, settings.breaker_seconds) for name in upstreams}
        self._in_flight = 0
        self._client: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._settings.connect_timeout, sock_read=self._settings.read_timeout
        )
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15, ttl_dns_cache=30),
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            trust_env=False,
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        request_id = _kept(headers, b"x-request-id", REQUEST_ID) or secrets.token_hex(16)
        self._in_flight += 1
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._forward(scope, receive, answer, request_id)
        except Refusal as refusal:
            if started:
                raise
            await _refuse(scope, send, refusal, request_id)
        except ClientGone:
            pass
        finally:
            self._in_flight -= 1

    async def _forward(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        route = find_route(scope["method"], scope["raw_path"].decode("latin-1"))
        if route is None:
            raise Refusal(404, "not_found", "Not found", "no service answers here")
        self._shed(route)
        address = scope["client"][0] if scope.get("client") else "unknown"
        caller = await self._judge(route, scope)
        limited = self._limit(caller, address)
        declared = _value(scope["headers"], b"content-length")
        if declared.isdigit() and int(declared) > self._settings.max_body_bytes:
            raise Refusal(
                413, "payload_too_large", "The body is too large", f"at most {self._settings.max_body_bytes} bytes"
            )
        upstream = self._upstreams.get(route.service)
        if upstream is None:
            raise Refusal(
                503, "unavailable", "Temporarily unavailable", "this service is not running here", Retry_After="30"
            )
        headers = _outgoing(scope["headers"], address, request_id)
        added = [(b"x-request-id", request_id.encode()), *limited]
        if isinstance(upstream, str):
            await self._over_http(route, upstream, scope, headers, receive, _adding(send, added))
        else:
            inner = {**scope, "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]}
            await upstream(inner, receive, _adding(send, added))

    def _shed(self, route: Route) -> None:
        places = self._settings.max_in_flight * (LOW_SHARE if route.low_priority else 1)
        if self._in_flight > places:
            raise Refusal(
                503, "overloaded", "Temporarily unavailable", "too much at once; come back soon", Retry_After="2"
            )

    async def _judge(self, route: Route, scope: Scope) -> Caller | None:
        kind, _, token = _value(scope["headers"], b"authorization").partition(" ")
        if not kind and route.public:
            return None
        try:
            if kind.lower() != "bearer":
                raise TokenError("none")  # noqa: TRY301 - refused like every other token
            return await self._verifier.verify(token.strip(), clock.now())
        except TokenError:
            challenge = 'Bearer error="invalid_token"'
            raise Refusal(
                401, "invalid_token", "Sign in first", "send a valid access token", WWW_Authenticate=challenge
            ) from None

    def _limit(self, caller: Caller | None, address: str) -> list[tuple[bytes, bytes]]:
        now = time.monotonic()
        verdict = self._callers.take(caller.subject, now) if caller else self._addresses.take(address, now)
        if not verdict.allowed:
            wait = str(int(verdict.wait) + 1)
            raise Refusal(429, "too_many_requests", "Too many requests", f"come back in {wait} s", Retry_After=wait)
        return [
            (b"ratelimit-limit", str(verdict.limit).encode()),
            (b"ratelimit-remaining", str(verdict.remaining).encode()),
        ]

    async def _over_http(
        self, route: Route, upstream: str, scope: Scope, headers: CIMultiDict[str], receive: Receive, send: Send
    ) -> None:
        breaker = self._breakers[route.service]
        wait = breaker.wait(time.monotonic())
        if wait:
            raise Refusal(
                503,
                "unavailable",
                "Temporarily unavailable",
                "the service is recovering",
                Retry_After=str(int(wait) + 1),
            )
        body = _Body(scope, receive, self._settings.max_body_bytes)
        try:
            await self._exchange(upstream, scope, headers, body, send)
        except (Refusal, ClientGone):
            raise
        except aiohttp.ServerTimeoutError:
            breaker.failed(time.monotonic())
            raise Refusal(504, "upstream_timeout", "Gateway timeout", "the service did not answer in time") from None
        except (aiohttp.ClientError, OSError):
            # aiohttp wraps what the body raised while it was sent: that is no fault of the service.
            if body.refusal is not None:
                raise body.refusal from None
            if body.gone.is_set():
                raise ClientGone from None
            breaker.failed(time.monotonic())
            raise Refusal(502, "bad_gateway", "Bad gateway", "the service cannot be reached", Retry_After="2") from None
        breaker.succeeded()

    async def _exchange(
        self, upstream: str, scope: Scope, headers: CIMultiDict[str], body: "_Body", send: Send
    ) -> None:
        assert self._client is not None
        query = scope["query_string"].decode("latin-1")
        raw = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        request = self._client.request(
            scope["method"],
            URL(upstream.rstrip("/") + raw, encoded=True),
            headers=headers,
            data=body.chunks() if body.expected else None,
            allow_redirects=False,
        )
        async with _watched(request, body) as answer:
            await send({"type": "http.response.start", "status": answer.status, "headers": _incoming(answer)})
            try:
                await self._relay(answer, body, send)
            except (aiohttp.ClientError, OSError) as error:
                # The answer has begun: break the message instead of ending a short one well.
                raise ConnectionResetError("the service broke off its answer") from error

    async def _relay(self, answer: aiohttp.ClientResponse, body: "_Body", send: Send) -> None:
        async for chunk in answer.content.iter_any():
            if body.gone.is_set():
                answer.close()
                raise ClientGone
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class _Body:
    """The request's body as it comes, and after it the watch for the caller's leaving."""

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        length = _value(scope["headers"], b"content-length")
        self.expected = bool(_value(scope["headers"], b"transfer-encoding")) or length not in {"", "0"}
        self.gone = asyncio.Event()
        self.refusal: Refusal | None = None
        self._receive = receive
        self._limit = limit
        self._complete = not self.expected

    async def chunks(self) -> AsyncGenerator[bytes]:
        taken = 0
        while not self._complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                raise ClientGone
            chunk = message.get("body", b"")
            taken += len(chunk)
            if taken > self._limit:
                self.refusal = Refusal(
                    413, "payload_too_large", "The body is too large", f"at most {self._limit} bytes"
                )
                raise self.refusal
            self._complete = not message.get("more_body", False)
            if chunk:
                yield chunk

    async def watch(self, leave: Callable[[], object]) -> None:
        """Once the body is in, wait for the caller to go, then call `leave`."""
        await asyncio.sleep(WATCH_AFTER)
        while not self._complete:  # noqa: ASYNC110 - the upload itself sees the caller leave
            await asyncio.sleep(WATCH_AFTER)
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone.set()
        _ = leave()


class _watched:  # noqa: N801 - used as a function
    """The upstream's answer; cut at once when the caller goes."""

    def __init__(self, request: Any, body: _Body) -> None:
        self._request = request
        self._body = body
        self._answer: aiohttp.ClientResponse | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        asking: asyncio.Task[aiohttp.ClientResponse] = asyncio.ensure_future(_ask(self._request))

        def leave() -> object:
            return self._answer.close() if self._answer is not None else asking.cancel()

        self._watcher = asyncio.create_task(self._body.watch(leave))
        try:
            self._answer = await asking
        except asyncio.CancelledError:
            await self._stop()
            if self._body.gone.is_set():
                raise ClientGone from None
            raise
        except BaseException:
            await self._stop()
            raise
        return self._answer

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._stop()
        if self._answer is not None:
            # A body not read to its end must not go back to the pool.
            self._answer.close() if kind is not None else self._answer.release()
        if self._body.gone.is_set() and kind is not None:
            raise ClientGone

    async def _stop(self) -> None:
        if self._watcher is not None:
            _ = self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher


async def _ask(request: Awaitable[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
    return await request


def _value(headers: list[tuple[bytes, bytes]], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key == name), "")


def _kept(headers: list[tuple[bytes, bytes]], name: bytes, form: re.Pattern[str]) -> str | None:
    value = _value(headers, name)
    return value if form.fullmatch(value) else None


def _outgoing(headers: list[tuple[bytes, bytes]], address: str, request_id: str) -> CIMultiDict[str]:
    """What the service gets: no hop-by-hop header, nothing that only the gateway may say."""
    named = {part.strip().lower() for key, value in headers if key == b"connection" for part in value.split(b",")}
    kept: CIMultiDict[str] = CIMultiDict()
    for key, value in headers:
        if key not in HOP_BY_HOP and key not in named and not OURS.fullmatch(key):
            kept.add(key.decode("latin-1"), value.decode("latin-1"))
    kept["x-forwarded-for"] = address
    kept["x-request-id"] = request_id
    trace = _kept(headers, b"traceparent", TRACEPARENT)
    kept["traceparent"] = trace or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    return kept


def _incoming(answer: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
    hidden = HOP_BY_HOP | {b"x-request-id", b"server"}
    return [(key.lower(), value) for key, value in answer.raw_headers if key.lower() not in hidden]


def _adding(send: Send, added: list[tuple[bytes, bytes]]) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(key, value) for key, value in message["headers"] if key != b"x-request-id"]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return answer


async def _refuse(scope: Scope, send: Send, refusal: Refusal, request_id: str) -> None:
    body = problem_body(
        status=refusal.status,
        code=refusal.code,
        title=refusal.title,
        detail=refusal.detail,
        instance=scope["path"],
        trace_id=request_id,
    )
    headers = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        *((name.lower().encode(), value.encode()) for name, value in refusal.headers.items()),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
