"""HTTP process of the gateway: `/api/` goes to the forwarder, everything else to a small FastAPI app."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.documents import Documents
from gateway.pages import pages
from gateway.protocol import corked
from gateway.proxy import Forwarder
from gateway.settings import Settings
from gateway.trust import Trust
from shared import logs
from shared.runtime.gc_tuning import collect_seldom
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
    """The gateway as one ASGI app. `upstreams` overrides the addresses, also with apps in this process."""
    judge = verifier or TokenVerifier(RemoteKeys(settings.jwks_url), issuer=ISSUER)
    services = upstreams if upstreams is not None else settings.upstreams
    forwarder = Forwarder(settings, services, judge)
    trust = Trust(judge, settings.revocations_url, settings.revocation_poll_seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        following = asyncio.create_task(trust.follow())
        yield
        _ = following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        forwarder.close()

    rest = FastAPI(
        title="Tongban gateway", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    rest.include_router(pages(forwarder, trust, Documents(services), settings.public_url))

    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
        to_services = scope["type"] == "http" and scope["path"].startswith("/api")
        await (forwarder if to_services else rest)(scope, receive, send)

    return gateway


def main() -> None:
    settings = load(Settings)
    logs.configure("gateway")
    gateway = create_gateway(settings)
    collect_seldom()
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
