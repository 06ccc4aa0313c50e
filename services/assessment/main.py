"""HTTP process of assessment."""

from fastapi import FastAPI

from services.assessment.router import router
from services.assessment.settings import Settings
from shared.http.app import create_app
from shared.http.server import run_api
from shared.messaging.bus import Bus
from shared.runtime.worker import open_bus
from shared.security.tokens import TokenVerifier
from shared.settings import load


def build(
    settings: Settings, *, bus: Bus | None = None, verifier: TokenVerifier | None = None
) -> FastAPI:
    return create_app(
        "assessment", settings, parts=[router], bus=bus, verifier=verifier, rebuildable=True
    )


if __name__ == "__main__":
    settings = load(Settings)
    run_api("assessment", build(settings, bus=open_bus(settings)), settings=settings)
