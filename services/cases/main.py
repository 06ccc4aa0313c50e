"""HTTP process of cases."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.cases.router import parts
from services.cases.settings import Settings
from services.cases.use_cases.numbers import Numbers
from shared.http.app import create_app
from shared.messaging.bus import Bus
from shared.runtime.storage import Storage
from shared.runtime.worker import open_bus, run_api
from shared.security.tokens import TokenVerifier
from shared.settings import load


def build(
    settings: Settings, *, bus: Bus | None = None, verifier: TokenVerifier | None = None
) -> FastAPI:
    app = create_app("cases", settings, parts, bus=bus, verifier=verifier, lifespan=_lifespan)
    app.state.storage = Storage(settings.storage_url)
    app.state.numbers = Numbers(app.state.database)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    yield
    await app.state.numbers.close()


if __name__ == "__main__":
    settings = load(Settings)
    run_api("cases", build(settings, bus=open_bus(settings)), settings)
