"""HTTP process of the gateway: the forwarder takes `/api/`, a small FastAPI app everything else."""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.documents import Documents
from gateway.key_feed import KeyAndRevocationFeed
from gateway.operator import operator_app, serving_operator
from gateway.pages import LoggedPages, pages
from gateway.protocol import corked
from gateway.proxy import Forwarder, Target
from gateway.settings import Settings
from shared import logs
from shared.http.draining import Drain, DrainingServer, serve
from shared.runtime.gc_tuning import tune_gc
from shared.runtime.remote_keys import RemoteKeys
from shared.security.tokens import TokenVerifier
from shared.settings import load

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
ISSUER = "tongban"
FEED_SECONDS = 5.0
"""How long a gateway on a shared port waits for keys and revocations before it listens."""


def create_gateway(
    settings: Settings,
    *,
    upstreams: Mapping[str, Target] | None = None,
    verifier: TokenVerifier | None = None,
    drain: Drain | None = None,
) -> ASGIApp:
    """The gateway as one ASGI app.

    `upstreams` replaces the addresses in the settings; its values may be apps in this process.
    `drain` tells `/readyz` when the process is about to end.
    """
    ending = drain or Drain()
    tokens = verifier or TokenVerifier(RemoteKeys(settings.jwks_url), issuer=ISSUER)
    services = _services(settings, upstreams)
    forwarder = Forwarder(settings, services, verifier=tokens)
    feed = KeyAndRevocationFeed(
        tokens, settings.revocations_url, every=settings.revocation_poll_seconds
    )

    router = pages(
        forwarder,
        feed,
        documents=Documents(services),
        public_url=settings.public_url,
        drain=ending,
        city=settings.city,
    )
    page = _page(router, _lifespan_of(feed, forwarder, settings=settings, drain=ending))

    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: PLR0917 - ASGI
        if scope["type"] == "http" and scope["path"].startswith("/api"):
            # Not below FastAPI: its routing would cost more than the forwarding (docs/adr/0007).
            await forwarder(scope, receive, send)
        else:
            await page(scope, receive, send)

    return gateway


def _page(router: APIRouter, lifespan: Lifespan) -> LoggedPages:
    """The app of everything that is not forwarded."""
    # Without FastAPI's own documents: the gateway serves the merged one of all services.
    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(router)
    return LoggedPages(app)


def _services(settings: Settings, upstreams: Mapping[str, Target] | None) -> Mapping[str, Target]:
    if upstreams is None:
        return settings.upstreams
    return upstreams


def _lifespan_of(
    feed: KeyAndRevocationFeed, forwarder: Forwarder, *, settings: Settings, drain: Drain
) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        following = [asyncio.create_task(feed.follow()), asyncio.create_task(forwarder.watch())]
        if settings.shared_port:
            await _wait_fed(feed)
        operator = operator_app(forwarder, feed, settings=settings, drain=drain)
        async with serving_operator(operator, settings=settings):
            yield
        for task in following:
            _ = task.cancel()
        _ = await asyncio.gather(*following, return_exceptions=True)
        # Last: until here requests in flight may still use the connections.
        forwarder.close()

    return lifespan


async def _wait_fed(feed: KeyAndRevocationFeed) -> None:
    """Wait for keys and revocations: from then on a shared port gives this process requests."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FEED_SECONDS):
            while not all(feed.checks().values()):  # noqa: ASYNC110 - the feed has no event
                await asyncio.sleep(0.02)


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket that is bound and does not listen yet. Raises: `OSError`."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(address)
    bound.setblocking(False)
    return bound


def _sockets(settings: Settings) -> list[socket.socket]:
    sockets = [_bound(settings.host, settings.port, shared=settings.shared_port)]
    if settings.own_port is not None:
        sockets.append(_bound(settings.host, settings.own_port, shared=False))
    return sockets


def main() -> None:
    """Serve until SIGTERM or SIGINT, finishing what is in flight."""
    settings = load(Settings)
    logs.configure("gateway")
    drain = Drain()
    gateway = create_gateway(settings, drain=drain)
    tune_gc()
    config = uvicorn.Config(
        gateway,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=corked(settings.send_timeout),
        log_config=None,
        access_log=False,
        # A caller's word about its own address would lift every limit by address.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=20,
    )
    server = DrainingServer(config, drain=drain, seconds=settings.drain_seconds)
    try:
        sockets = _sockets(settings)
    except OSError as error:
        _ = sys.stderr.write(
            f"无法监听 {settings.host}:{settings.port} / cannot listen on it: {error.strerror}\n"
        )
        raise SystemExit(1) from None
    serve(server, sockets)


if __name__ == "__main__":
    main()
