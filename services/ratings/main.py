"""HTTP process of ratings."""

from fastapi import FastAPI

from services.ratings import development
from services.ratings.giving import router as giving
from services.ratings.invitations.router import invitations, tokens
from services.ratings.publication import router as publication
from services.ratings.settings import Settings
from services.ratings.statistics import router as statistics
from services.ratings.tickets.router import appeals, tickets
from shared.http.app import create_app
from shared.http.server import run_api
from shared.messaging.bus import Bus
from shared.runtime.worker import open_bus
from shared.security.tokens import TokenVerifier
from shared.settings import load

ROUTERS = (
    giving.router,
    invitations.router,
    tokens.router,
    tickets.own,
    tickets.router,
    appeals.router,
    statistics.router,
    publication.router,
    development.router,
)
"""Below `/api/v1/ratings`; what is asked most stands first."""


def build(
    settings: Settings, *, bus: Bus | None = None, verifier: TokenVerifier | None = None
) -> FastAPI:
    return create_app("ratings", settings, parts=ROUTERS, bus=bus, verifier=verifier)


if __name__ == "__main__":
    settings = load(Settings)
    run_api("ratings", build(settings, bus=open_bus(settings)), settings=settings)
