"""HTTP process of exchange."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.exchange.batches import router as batches
from services.exchange.events.router import deliveries, pull, subscriptions
from services.exchange.events.use_cases.peer_rights import EventRights
from services.exchange.peers import router as peers
from services.exchange.region import router as region
from services.exchange.settings import Settings
from shared.http.app import create_app
from shared.http.server import run_api
from shared.messaging.bus import Bus
from shared.runtime.http_client import Endpoints
from shared.runtime.worker import open_bus
from shared.security.tokens import TokenVerifier
from shared.settings import load

ROUTERS = (
    peers.router,
    subscriptions.router,
    deliveries.router,
    pull.router,
    batches.router,
    region.router,
)
"""Below `/api/v1/exchange`."""


def build(
    settings: Settings, *, bus: Bus | None = None, verifier: TokenVerifier | None = None
) -> FastAPI:
    app = create_app(
        "exchange", settings, parts=ROUTERS, bus=bus, verifier=verifier, lifespan=_lifespan
    )
    app.state.endpoints = Endpoints()
    # `peers` lies below `events` and must not import it.
    app.state.peer_events = EventRights(settings.city.name)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    yield
    endpoints: Endpoints = app.state.endpoints
    await endpoints.close()


if __name__ == "__main__":
    settings = load(Settings)
    run_api("exchange", build(settings, bus=open_bus(settings)), settings=settings)
