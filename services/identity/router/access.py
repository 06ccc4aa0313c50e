"""Who may do what in identity, and what its endpoints need."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, TypeVar
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
from services.identity.queries import FIRST
from services.identity.settings import Settings
from shared.database.acts import Act
from shared.errors import NotFoundError, UnavailableError
from shared.http.client_address import client_address
from shared.http.dependencies import act_by, current_time, settings_of
from shared.pagination import decode_cursor
from shared.security.auth import with_role
from shared.security.tokens import Caller

T = TypeVar("T")

Config = Annotated[Settings, Depends(settings_of(Settings))]
WindowClerk = Annotated[Caller, Depends(with_role("window_clerk"))]
AdministratorAct = Annotated[
    Act[datetime], Depends(act_by(with_role("administrator"), current_time))
]
"""A change of a staff member by an administrator."""


# Waits for nothing and is async all the same: FastAPI hands a plain function to a thread.
async def _address(request: Request, settings: Config) -> str:
    return client_address(request, trust_gateway=settings.trust_gateway)


Address = Annotated[str, Depends(_address)]


def _simulated(simulator: T) -> Callable[..., Coroutine[Any, Any, T]]:
    """Dependency: the simulator, which accepts nearly everything, so only in development.

    A real provider takes its place in production.
    """

    async def provide(settings: Config) -> T:
        if not settings.development:
            raise UnavailableError("no such verification is connected here")
        return simulator

    return provide


RealName = Annotated[RealNameProvider, Depends(_simulated(RealNameSimulator()))]
Register = Annotated[OrganisationProvider, Depends(_simulated(OrganisationSimulator()))]
MiniPrograms = Annotated[MiniProgramProvider, Depends(_simulated(MiniProgramSimulator()))]


def account_id(subject: str) -> UUID:
    """The account that a token names.

    Raises:
        NotFoundError: the subject is no account.
    """
    try:
        return UUID(subject)
    except ValueError:
        raise NotFoundError("no such account") from None


def own_id(caller: Caller) -> UUID:
    """The account that signed in, also while it acts for another."""
    return account_id(caller.act or caller.subject)


def after_id(cursor: str | None) -> UUID:
    """The id after which a page begins.

    Raises:
        InvalidInputError: the cursor is not one of ours.
    """
    if not cursor:
        return FIRST
    last: UUID = decode_cursor(cursor, UUID)[0]
    return last
