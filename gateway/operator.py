"""What the operator asks the gateway, on a port that the public does not reach."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from gateway.key_feed import KeyAndRevocationFeed
from gateway.pages import add_probes
from gateway.proxy import Forwarder
from gateway.settings import Settings
from shared import clock, metrics
from shared.http.draining import Drain
from shared.runtime import status
from shared.runtime.quiet_server import QuietServer

SERVICE = "gateway"


def operator_app(
    forwarder: Forwarder, feed: KeyAndRevocationFeed, *, settings: Settings, drain: Drain
) -> FastAPI:
    """`/healthz`, `/readyz`, `/metrics` and `/internal/status` of the gateway."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    router = APIRouter()
    add_probes(router, forwarder, feed=feed, drain=drain)
    certificates = status.Certificates(settings)

    @router.get(status.PATH)
    async def told() -> status.Status:  # pyright: ignore[reportUnusedFunction] - a route
        found = status.Status(
            process=SERVICE,
            service=SERVICE,
            now=clock.now(),
            started_at=status.STARTED_AT,
            checks=feed.checks(),
            circuits=forwarder.states(),
            certificates=await certificates.read(),
        )
        checks = {(check,): float(good) for check, good in found.checks.items()}
        metrics.READY.set(SERVICE, checks)
        ends = {one.setting: one.expires_at.timestamp() for one in found.certificates}
        metrics.set_certificates(SERVICE, ends)
        return found

    app.include_router(router)
    return app


@asynccontextmanager
async def serving_operator(app: FastAPI, *, settings: Settings) -> AsyncGenerator[None]:
    """Serve the app on the operator's port while the block runs, if there is such a port."""
    if not settings.operator_port:
        yield
        return
    server = QuietServer(app, host=settings.host, port=settings.operator_port)
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        _ = await asyncio.gather(serving, return_exceptions=True)
