"""HTTP process of cases."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.cases.router import parts
from services.cases.settings import Settings
from services.cases.use_cases import Numbers
from shared.app import create_app
from shared.bus import Bus
from shared.settings import load
from shared.storage import Storage
from shared.tokens import TokenVerifier
from shared.worker import open_bus, run_api


def build(settings: Settings, *, bus: Bus | None = None, verifier: TokenVerifier | None = None) -> FastAPI:
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
