"""Who may do what in identity, and what its endpoints need."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request

from services.identity.providers import (
    MiniProgramProvider,
    MiniProgramSimulator,
    OrganisationProvider,
    OrganisationSimulator,
    RealNameProvider,
    RealNameSimulator,
)
from services.identity.settings import Settings
from shared.database.session import Database
from shared.errors import NotFoundError, UnavailableError
from shared.http.client_address import client_address
from shared.security.auth import with_role
from shared.security.tokens import Caller


# These wait for nothing and are async all the same: FastAPI hands a plain function to a thread.
async def _settings(request: Request) -> Settings:
    return request.app.state.settings


async def _database(request: Request) -> Database:
    return request.app.state.database


async def _address(request: Request, settings: Annotated[Settings, Depends(_settings)]) -> str:
    return client_address(request, trust_gateway=settings.trust_gateway)


Config = Annotated[Settings, Depends(_settings)]
Db = Annotated[Database, Depends(_database)]
Address = Annotated[str, Depends(_address)]
WindowClerk = Annotated[Caller, Depends(with_role("window_clerk"))]


def _simulated(simulator: Any) -> Any:
    """A simulator believes everybody, so it answers in development alone; production connects the real one here."""

    async def provide(settings: Config) -> Any:
        if not settings.development:
            raise UnavailableError("no such verification is connected here")
        return simulator

    return Depends(provide)


RealName = Annotated[RealNameProvider, _simulated(RealNameSimulator())]
Register = Annotated[OrganisationProvider, _simulated(OrganisationSimulator())]
MiniPrograms = Annotated[MiniProgramProvider, _simulated(MiniProgramSimulator())]


def account_id(subject: str) -> UUID:
    try:
        return UUID(subject)
    except ValueError:
        raise NotFoundError("no such account") from None


def own_id(caller: Caller) -> UUID:
    """The account that signed in, also while it acts for another."""
    return account_id(caller.act or caller.subject)
