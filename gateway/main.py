"""HTTP process of the gateway: `/api/` goes to the forwarder, everything else to a small FastAPI app."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress

import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.proxy import Forwarder
from gateway.settings import Settings
from shared import http, logs
from shared.remote_keys import RemoteKeys
from shared.settings import load
from shared.tokens import TokenVerifier

ISSUER = "tongban"


async def follow_revocations(url: str, verifier: TokenVerifier, every: float) -> None:
    """Read the feed of ended sessions for ever; while identity is away what is known stays."""
    cursor = "0"
    while True:
        feed = await http.get_json(f"{url}?after={cursor}")
        if feed is not None:
            verifier.revoke(str(item["session"]) for item in feed["items"])
            cursor = feed["next"]
        await asyncio.sleep(every)


def create_gateway(
    settings: Settings,
    *,
    upstreams: Mapping[str, str | ASGIApp] | None = None,
    verifier: TokenVerifier | None = None,
) -> ASGIApp:
    """The gateway as one ASGI app. `upstreams` overrides the addresses, also with apps in this process."""
    judge = verifier or TokenVerifier(RemoteKeys(settings.jwks_url), issuer=ISSUER)
    forwarder = Forwarder(settings, upstreams if upstreams is not None else settings.upstreams, judge)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        await forwarder.open()
        feed = follow_revocations(settings.revocations_url, judge, settings.revocation_poll_seconds)
        following = asyncio.create_task(feed)
        yield
        _ = following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await forwarder.close()

    rest = FastAPI(title="Tongban gateway", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)

    @rest.get("/healthz")
    async def alive() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "alive", "service": "gateway"}

    @rest.get("/readyz")
    async def ready() -> dict[str, object]:  # pyright: ignore[reportUnusedFunction]
        return {"service": "gateway", "checks": {"forwarder": True}}

    @rest.get("/metrics")
    async def measured() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction]
        return PlainTextResponse(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
        to_services = scope["type"] == "http" and scope["path"].startswith("/api")
        await (forwarder if to_services else rest)(scope, receive, send)

    return gateway


def main() -> None:
    settings = load(Settings)
    logs.configure("gateway")
    uvicorn.run(
        create_gateway(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=20,
    )


if __name__ == "__main__":
    main()
