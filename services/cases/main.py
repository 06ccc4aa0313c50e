"""HTTP process of cases."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.cases import development
from services.cases.applications.model import CaseSerial
from services.cases.applications.router import applications, license_matches
from services.cases.bundles import router as bundles
from services.cases.calendar import router as calendar
from services.cases.case_file import router as case_file
from services.cases.handling.router import acts, lights
from services.cases.imports import router as imports
from services.cases.settings import Settings
from shared.database.serials import SerialAllocator
from shared.http.app import create_app
from shared.http.server import run_api
from shared.messaging.bus import Bus
from shared.runtime.storage import Storage
from shared.runtime.worker import open_bus
from shared.security.tokens import TokenVerifier
from shared.settings import load

ROUTERS = (
    applications.router,
    case_file.router,
    imports.router,
    bundles.router,
    acts.router,
    lights.router,
    license_matches.router,
    calendar.router,
    development.router,
)
"""Below `/api/v1/cases`; the router tries them in this order, so the most frequent come first."""


def build(
    settings: Settings, *, bus: Bus | None = None, verifier: TokenVerifier | None = None
) -> FastAPI:
    """The app of this service; `bus` and `verifier` are for tests and the single process."""
    app = create_app(
        "cases", settings, parts=ROUTERS, bus=bus, verifier=verifier, lifespan=_lifespan
    )
    app.state.storage = app.state.monitor.storage = Storage(settings.storage_url)
    app.state.case_numbers = SerialAllocator(app.state.database, CaseSerial)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    yield
    await app.state.case_numbers.close()


if __name__ == "__main__":
    settings = load(Settings)
    run_api("cases", build(settings, bus=open_bus(settings)), settings=settings)
