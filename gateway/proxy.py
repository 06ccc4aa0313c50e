"""The forwarder: one plain ASGI function between callers and services (docs/adr/0007).

It verifies the token once, removes headers that only the gateway may set, applies the limits,
streams both ways, and answers for a service that cannot.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import metrics
from gateway.limits import Breaker, ConcurrencyLimit, Limits, RetryBudget, Verdict
from gateway.messages import (
    REQUEST_ID,
    Answer,
    ClientGone,
    incoming,
    kept,
    outgoing,
    value,
)
from gateway.problems import (
    BadGatewayError,
    GatewayTimeoutError,
    Headers,
    InvalidTokenError,
    NoRouteError,
    OverloadedError,
    RefusalError,
    TooManyRequestsError,
    UnavailableError,
)
from gateway.replicas import Replicas, base_urls
from gateway.request_log import request_log
from gateway.routes import Route, find_route
from gateway.settings import Settings
from gateway.streams import Body, Watches, declared_length, too_large
from gateway.templates import template_of
from gateway.upstreams import Connection, ServiceError, ServiceTimeoutError
from shared import clock
from shared.security.tokens import Caller, TokenError, TokenVerifier

Target = str | list[str] | ASGIApp
"""Where a service is: its base URL, several of them, or an app in this process."""
REPEATABLE = frozenset({"GET", "HEAD"})
LOW_PRIORITY_SHARE = 0.7
"""Above this share of the requests in flight, requests of low priority are refused."""
CHALLENGE = (b"www-authenticate", b'Bearer error="invalid_token"')
CLIENT_GONE = 499
"""Status in the metrics when the caller left before the answer; nobody receives it."""


@dataclass(slots=True)
class _Request:
    """One request from a caller, and the way its answer goes."""

    scope: Scope
    receive: Receive
    answer: Answer
    address: str
    id: str
    route: Route | None
    caller: str = "anonymous"
    """Kind of the caller, for the log."""


@dataclass(slots=True)
class _Call:
    """One request on its way to a service over HTTP."""

    method: str
    target: bytes
    headers: Headers
    body: Body
    answer: Answer

    @property
    def repeatable(self) -> bool:
        """Nothing was sent that could have an effect, and nothing has been answered yet."""
        return self.method in REPEATABLE and not self.body.expected and not self.answer.status


class Forwarder:
    """`upstreams`: service → one base URL or several, or an ASGI app in this process."""

    def __init__(
        self, settings: Settings, upstreams: Mapping[str, Target], *, verifier: TokenVerifier
    ) -> None:
        self._settings = settings
        self._verifier = verifier
        self._limits = Limits(settings)
        self._retries = RetryBudget(settings.retry_share)
        self._concurrency = ConcurrencyLimit()
        self._watches = Watches()
        self._upstreams: dict[str, Replicas | ASGIApp] = {}
        self._breakers: dict[str, Breaker] = {}
        for name, target in upstreams.items():
            if callable(target):
                self._upstreams[name] = target
            else:
                self._upstreams[name] = Replicas(name, base_urls(target), settings=settings)
            self._breakers[name] = Breaker(settings.breaker_failures, settings.breaker_seconds)
        metrics.IN_FLIGHT.set_function(lambda: self._concurrency.in_flight)

    def close(self) -> None:
        """Close all connections to services."""
        for upstream in self._upstreams.values():
            if isinstance(upstream, Replicas):
                upstream.close()

    async def watch(self) -> None:
        """Look now and then which of several addresses of a service are ready, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for upstream in self._upstreams.values():
                if isinstance(upstream, Replicas) and upstream.several:
                    _ = group.create_task(upstream.watch(self._settings.probe_seconds))

    def states(self) -> dict[str, str]:
        """The circuit of each service: `closed` lets requests pass, `open` does not."""
        states: dict[str, str] = {}
        for name, breaker in self._breakers.items():
            states[name] = "closed" if breaker.closed else "open"
        return states

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: PLR0917 - ASGI
        started = time.perf_counter()
        # A caller's own id is kept if it has the form, so that the logs of both can be joined.
        given_id = kept(scope["headers"], b"x-request-id", form=REQUEST_ID)
        request_id = given_id or os.urandom(16).hex()
        route = find_route(scope["method"], path=scope["raw_path"].decode("latin-1"))
        answer = Answer(send, request_id)
        address = scope["client"][0] if scope.get("client") else "unknown"
        request = _Request(scope, receive, answer, address, request_id, route)
        of_address = self._concurrency.enter(address)
        try:
            self._check_concurrency(route, of_address)
            await self._forward(request)
        except RefusalError as refusal:
            # The answer has begun and cannot become a refusal: the server breaks it off, and
            # the caller sees that it is not whole.
            if answer.status:
                answer.status = refusal.status
                raise
            await answer.refuse(
                refusal,
                scope,
                request_id=request_id,
                unreviewed=self._settings.show_unreviewed_texts,
            )
        except ClientGone:
            answer.status = CLIENT_GONE
        finally:
            self._concurrency.leave(address)
            _tell(request, seconds=time.perf_counter() - started)

    async def _forward(self, request: _Request) -> None:
        route = request.route
        if route is None:
            raise NoRouteError("no service answers here")
        scope, answer = request.scope, request.answer
        # First of all: who the caller is decides which limit counts.
        caller = await self._verify(route, scope, address=request.address)
        if caller is not None:
            request.caller = caller.kind.value
        verdict = self._limits.take(
            route, caller=caller, address=request.address, now=time.monotonic()
        )
        _check_limit(verdict)
        length = self._checked_length(scope)
        upstream = self._upstreams.get(route.service)
        if upstream is None:
            raise UnavailableError("this service is not running here", wait=29)
        answer.added += verdict.headers()
        headers = outgoing(scope["headers"], request.address, request_id=request.id)
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        if isinstance(upstream, Replicas):
            body = Body(scope, request.receive, settings=self._settings, length=length)
            call = _Call(scope["method"], _target(scope), headers, body, answer)
            await self._over_http(route.service, upstream, call=call)
        else:
            await upstream({**scope, "headers": headers}, request.receive, answer)

    def _checked_length(self, scope: Scope) -> int | None:
        """The declared length of the body; refused where it is too much, before a byte is read."""
        length = declared_length(scope)
        if length is not None and length > self._settings.max_body_bytes:
            raise too_large(self._settings.max_body_bytes)
        return length

    def _check_concurrency(self, route: Route | None, of_address: int) -> None:
        """Refuse a request that is too much at once; `of_address` counts this one too."""
        if of_address > self._settings.max_per_address:
            raise TooManyRequestsError("too much at once from one address; come back soon", wait=1)
        most: float = self._settings.max_in_flight
        if route is not None and route.low_priority:
            most *= LOW_PRIORITY_SHARE
        if self._concurrency.in_flight > most:
            raise OverloadedError("too much at once; come back soon", wait=1)

    async def _verify(self, route: Route, scope: Scope, *, address: str) -> Caller | None:
        """The caller, None where the route is public and no token was sent."""
        kind, _, token = value(scope["headers"], b"authorization").partition(" ")
        if not kind and route.public:
            return None
        try:
            if kind.lower() != "bearer":
                raise TokenError("none")  # noqa: TRY301 - refused like every other token
            return await self._verifier.verify(token.strip(), clock.now())
        except TokenError:
            # Whoever guesses tokens has no account yet, so the address is counted.
            _check_limit(self._limits.take_refused(address, time.monotonic()))
            raise InvalidTokenError("send a valid access token", wire_headers=[CHALLENGE]) from None

    async def _over_http(self, service: str, upstream: Replicas, *, call: _Call) -> None:
        """One exchange, repeated while it may be; the service's failures open its circuit."""
        breaker = self._breakers[service]
        wait = breaker.wait(time.monotonic())
        if wait:
            raise UnavailableError("the service is recovering", wait=wait)
        self._retries.earn()
        try:
            while not await self._exchanged(upstream, call):
                metrics.RETRIES.labels(service).inc()
        except ServiceTimeoutError:
            breaker.failed(time.monotonic())
            raise GatewayTimeoutError("the service did not answer in time") from None
        except ServiceError:
            breaker.failed(time.monotonic())
            raise BadGatewayError("the service cannot be reached", wait=1) from None
        # Also after a 5xx: an answer shows that the service can be reached.
        breaker.succeeded()

    async def _exchanged(self, upstream: Replicas, call: _Call) -> bool:
        """Whether the exchange took place; False when it did not and may be tried again."""
        try:
            await self._exchange(upstream, call)
        except ServiceTimeoutError:
            raise
        except ServiceError:
            if call.repeatable and self._retries.spend():
                return False
            raise
        return True

    async def _exchange(self, replicas: Replicas, call: _Call) -> None:
        body = call.body
        # Before a connection is taken: a slow caller must not hold one.
        content = await body.content()
        upstream, connection = await replicas.connect()
        watch = self._watches.over(body, connection)
        try:
            head = upstream.head(
                call.method, call.target, headers=call.headers, chunked=body.chunked
            )
            await connection.ask(call.method, head, content=content, chunked=body.chunked)
            await _relay(connection, call.answer)
        finally:
            watch.end()
            connection.release()


async def _relay(connection: Connection, send: Send) -> None:
    """Hand the service's answer to the caller as it comes."""
    headers = incoming(connection.headers, connection.status)
    await send({"type": "http.response.start", "status": connection.status, "headers": headers})
    more = True
    while more:
        chunk = await connection.chunk()
        # Most answers are one piece. Sending it as the last one saves a turn of the loop.
        more = not connection.ended
        await send({"type": "http.response.body", "body": chunk, "more_body": more})


def _tell(request: _Request, *, seconds: float) -> None:
    """Count and log a request that has ended."""
    service = "none"
    if request.route is not None:
        service = request.route.service
    status = request.answer.status
    metrics.observe(service, status, seconds=seconds)
    request_log.add(
        request.scope["method"],
        template_of(request.scope["path"]),
        # 0: it broke before its answer began, and the server says 500.
        status=status or 500,
        seconds=seconds,
        service=service,
        caller=request.caller,
        request_id=request.id,
    )


def _check_limit(verdict: Verdict) -> None:
    if verdict.allowed:
        return
    raise TooManyRequestsError(
        "come back in {seconds} s",
        seconds=int(verdict.wait) + 1,
        wait=verdict.wait,
        wire_headers=verdict.headers(),
    )


def _target(scope: Scope) -> bytes:
    """The raw path with its query."""
    query: bytes = scope["query_string"]
    if not query:
        return scope["raw_path"]
    return scope["raw_path"] + b"?" + query
