"""The forwarder: one plain ASGI function between callers and services (docs/adr/0007).

It judges the token once, strips what only it may say, limits, streams both ways, and answers for a service that cannot.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import metrics
from gateway.limits import Breaker, Limits, Places, RetryBudget, Verdict
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
from gateway.routes import Route, find_route
from gateway.settings import Settings
from gateway.streams import Body, Watches, declared_length, too_large
from gateway.upstreams import Connection, ServiceError, ServiceTimeoutError, Upstream
from shared import clock
from shared.security.tokens import Caller, TokenError, TokenVerifier

REPEATABLE = frozenset({"GET", "HEAD"})
LOW_SHARE = 0.7
"""Above this share of the places in flight, low-priority requests are shed."""
CHALLENGE = (b"www-authenticate", b'Bearer error="invalid_token"')


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
        """Nothing was sent that could have had an effect, and nothing has been answered yet."""
        return self.method in REPEATABLE and not self.body.expected and not self.answer.status


class Forwarder:
    """`upstreams`: service → base URL, or an ASGI app in this process."""

    def __init__(
        self, settings: Settings, upstreams: Mapping[str, str | ASGIApp], verifier: TokenVerifier
    ) -> None:
        self._settings = settings
        self._upstreams = {
            name: Upstream(place, settings.connect_timeout, settings.read_timeout)
            if isinstance(place, str)
            else place
            for name, place in upstreams.items()
        }
        self._verifier = verifier
        self._limits = Limits(settings)
        self._retries = RetryBudget(settings.retry_share)
        self._breakers = {
            name: Breaker(settings.breaker_failures, settings.breaker_seconds) for name in upstreams
        }
        self._places = Places()
        self._watches = Watches()
        metrics.IN_FLIGHT.set_function(lambda: self._places.taken)

    def close(self) -> None:
        for upstream in self._upstreams.values():
            if isinstance(upstream, Upstream):
                upstream.close()

    def states(self) -> dict[str, str]:
        """What is known of every service: `closed` circuits let requests pass."""
        return {
            name: "closed" if breaker.closed else "open" for name, breaker in self._breakers.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = kept(scope["headers"], b"x-request-id", REQUEST_ID) or os.urandom(16).hex()
        route = find_route(scope["method"], scope["raw_path"].decode("latin-1"))
        answer = Answer(send, request_id)
        address = scope["client"][0] if scope.get("client") else "unknown"
        own = self._places.take(address)
        try:
            self._shed(route, own)
            await self._forward(route, scope, receive, answer, address, request_id)
        except RefusalError as refusal:
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
            answer.status = 499
        finally:
            self._places.leave(address)
            metrics.observe(
                route.service if route else "none", answer.status, time.perf_counter() - started
            )

    async def _forward(
        self,
        route: Route | None,
        scope: Scope,
        receive: Receive,
        answer: Answer,
        address: str,
        request_id: str,
    ) -> None:
        if route is None:
            raise NoRouteError("no service answers here")
        caller = await self._judge(route, scope, address)
        verdict = _allowed(self._limits.take(route, caller, address, time.monotonic()))
        length = declared_length(scope)
        if length is not None and length > self._settings.max_body_bytes:
            raise too_large(self._settings.max_body_bytes)
        upstream = self._upstreams.get(route.service)
        if upstream is None:
            raise UnavailableError("this service is not running here", wait=29)
        answer.added += verdict.headers()
        headers = outgoing(scope["headers"], address, request_id)
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        if isinstance(upstream, Upstream):
            body = Body(scope, receive, self._settings, length)
            await self._over_http(
                route.service,
                upstream,
                _Call(scope["method"], _target(scope), headers, body, answer),
            )
        else:
            await upstream({**scope, "headers": headers}, receive, answer)

    def _shed(self, route: Route | None, own: int) -> None:
        """Refuse what is too much at once; `own` are the places of its address, this one among them."""
        if own > self._settings.max_per_address:
            raise TooManyRequestsError("too much at once from one address; come back soon", wait=1)
        places = self._settings.max_in_flight * (LOW_SHARE if route and route.low_priority else 1)
        if self._places.taken > places:
            raise OverloadedError("too much at once; come back soon", wait=1)

    async def _judge(self, route: Route, scope: Scope, address: str) -> Caller | None:
        kind, _, token = value(scope["headers"], b"authorization").partition(" ")
        if not kind and route.public:
            return None
        try:
            if kind.lower() != "bearer":
                raise TokenError("none")  # noqa: TRY301 - refused like every other token
            return await self._verifier.verify(token.strip(), clock.now())
        except TokenError:
            _ = _allowed(self._limits.take_refused(address, time.monotonic()))
            raise InvalidTokenError("send a valid access token", wire_headers=[CHALLENGE]) from None

    async def _over_http(self, service: str, upstream: Upstream, call: _Call) -> None:
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
        breaker.succeeded()

    async def _exchanged(self, upstream: Upstream, call: _Call) -> bool:
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

    async def _exchange(self, upstream: Upstream, call: _Call) -> None:
        body = call.body
        head = upstream.head(call.method, call.target, call.headers, chunked=body.chunked)
        content = await body.content()
        connection = await upstream.connection()
        watch = self._watches.over(body, connection)
        try:
            await connection.ask(call.method, head, content, body.chunked)
            await _relay(connection, call.answer)
        finally:
            watch.end()
            connection.release()


async def _relay(connection: Connection, send: Send) -> None:
    headers = incoming(connection.headers, connection.status)
    await send({"type": "http.response.start", "status": connection.status, "headers": headers})
    more = True
    while more:
        chunk = await connection.chunk()
        # Most answers are one piece: it is sent as the last, which saves a turn.
        more = not connection.ended
        await send({"type": "http.response.body", "body": chunk, "more_body": more})


def _allowed(verdict: Verdict) -> Verdict:
    if not verdict.allowed:
        raise TooManyRequestsError(
            "come back in {seconds} s",
            seconds=int(verdict.wait) + 1,
            wait=verdict.wait,
            wire_headers=verdict.headers(),
        )
    return verdict


def _target(scope: Scope) -> bytes:
    query: bytes = scope["query_string"]
    return scope["raw_path"] + (b"?" + query if query else b"")
