"""HTTP process of the gateway: the forwarder takes `/api/`, a small FastAPI app everything else."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.documents import Documents
from gateway.key_feed import KeyAndRevocationFeed
from gateway.pages import pages
from gateway.protocol import corked
from gateway.proxy import Forwarder
from gateway.settings import Settings
from shared import logs
from shared.runtime.gc_tuning import tune_gc
from shared.runtime.remote_keys import RemoteKeys
from shared.security.tokens import TokenVerifier
from shared.settings import load

ISSUER = "tongban"


def create_gateway(
    settings: Settings,
    *,
    upstreams: Mapping[str, str | ASGIApp] | None = None,
    verifier: TokenVerifier | None = None,
) -> ASGIApp:
    """The gateway as one ASGI app.

    `upstreams` replaces the addresses in the settings; its values may be apps in this process.
    """
    tokens = verifier or TokenVerifier(RemoteKeys(settings.jwks_url), issuer=ISSUER)
    services = settings.upstreams if upstreams is None else upstreams
    forwarder = Forwarder(settings, services, verifier=tokens)
    feed = KeyAndRevocationFeed(
        tokens, settings.revocations_url, every=settings.revocation_poll_seconds
    )

    # Without FastAPI's own documents: the gateway serves the merged one of all services.
    rest = FastAPI(
        title="Tongban gateway",
        lifespan=_lifespan_of(feed, forwarder),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    documents = Documents(services)
    rest.include_router(
        pages(
            forwarder,
            feed,
            documents=documents,
            public_url=settings.public_url,
            city=settings.city,
        )
    )

    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: PLR0917 - ASGI
        if scope["type"] == "http" and scope["path"].startswith("/api"):
            # Not below FastAPI: its routing would cost more than the forwarding (docs/adr/0007).
            await forwarder(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return gateway


def _lifespan_of(
    feed: KeyAndRevocationFeed, forwarder: Forwarder
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        following = asyncio.create_task(feed.follow())
        yield
        _ = following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        # Last: until here requests in flight may still use the connections.
        forwarder.close()

    return lifespan


def main() -> None:
    """Serve until SIGTERM or SIGINT, finishing what is in flight."""
    settings = load(Settings)
    logs.configure("gateway")
    gateway = create_gateway(settings)
    tune_gc()
    uvicorn.run(
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


if __name__ == "__main__":
    main()
