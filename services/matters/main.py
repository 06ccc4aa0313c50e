"""HTTP process of matters."""

from fastapi import FastAPI

from services.matters.router import parts
from services.matters.settings import Settings
from shared.http.app import create_app
from shared.http.server import run_api
from shared.messaging.bus import Bus
from shared.runtime.worker import open_bus
from shared.security.tokens import TokenVerifier
from shared.settings import load


def build(
    settings: Settings, *, bus: Bus | None = None, verifier: TokenVerifier | None = None
) -> FastAPI:
    return create_app("matters", settings, parts=parts, bus=bus, verifier=verifier)


if __name__ == "__main__":
    settings = load(Settings)
    run_api("matters", build(settings, bus=open_bus(settings)), settings=settings)
