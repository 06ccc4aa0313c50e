"""HTTP process of the gateway: the forwarder takes `/api/`, a small FastAPI app everything else."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress

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

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        following = asyncio.create_task(feed.follow())
        yield
        _ = following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        forwarder.close()

    rest = FastAPI(
        title="Tongban gateway", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    documents = Documents(services)
    rest.include_router(pages(forwarder, feed, documents=documents, public_url=settings.public_url))

    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: PLR0917 - ASGI
        if scope["type"] == "http" and scope["path"].startswith("/api"):
            await forwarder(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return gateway


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
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=20,
    )


if __name__ == "__main__":
    main()
