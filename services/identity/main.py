"""HTTP process of identity."""

from fastapi import FastAPI

from services.identity.router import internal, parts
from services.identity.settings import Settings
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
        "identity", settings, parts=parts, others=[internal], bus=bus, verifier=verifier
    )


if __name__ == "__main__":
    settings = load(Settings)
    run_api("identity", build(settings, bus=open_bus(settings)), settings=settings)
