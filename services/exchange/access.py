"""Who calls: the system of an active peer, or an administrator. Deny by default."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import Peer
from services.exchange.peers.queries import find_peer_of
from services.exchange.settings import Settings
from shared.database.session import Database
from shared.errors import ForbiddenError
from shared.http.dependencies import Session
from shared.runtime.http_client import Endpoints
from shared.security.auth import CurrentCaller
from shared.security.tokens import Caller

FIRST = UUID(int=0)
EVENTS = "exchange:events"
PUSH = "exchange:push"


async def find_active_peer(session: AsyncSession, caller: Caller) -> Peer:
    """The active peer whose system calls; 403 for everybody else, whatever is asked for."""
    peer = await find_peer_of(session, UUID(caller.subject)) if caller.kind == "system" else None
    if peer is None or not peer.active:
        raise ForbiddenError("this is for the system of an active peer")
    return peer


async def current_peer(session: Session, caller: CurrentCaller) -> Peer:
    """Dependency: the peer that calls, whatever scope its token has.

    In the request's own transaction: a second connection beside it could wait for the first.
    """
    return await find_active_peer(session, caller)


CurrentPeer = Annotated[Peer, Depends(current_peer)]


def check_scope(caller: Caller, scope: str) -> None:
    if scope not in caller.scopes:
        raise ForbiddenError(f"this needs a system with the scope {scope}")


def peer_with(scope: str) -> Callable[..., Coroutine[Any, Any, Peer]]:
    """Dependency: the active peer that calls with this scope; 403 for others."""

    async def check(peer: CurrentPeer, caller: CurrentCaller) -> Peer:
        check_scope(caller, scope)
        return peer

    return check


Subscriber = Annotated[Peer, Depends(peer_with(EVENTS))]


async def _viewer(session: Session, caller: CurrentCaller) -> UUID | None:
    if caller.kind == "staff" and "administrator" in caller.roles:
        return None
    peer = await find_active_peer(session, caller)
    check_scope(caller, EVENTS)
    return peer.id


Viewer = Annotated[UUID | None, Depends(_viewer)]
"""The id of the peer that calls, which sees its own alone; None for an administrator, who sees all."""


# These wait for nothing and are async all the same: FastAPI hands a plain function to a thread.
async def _settings(request: Request) -> Settings:
    return request.app.state.settings


async def _database(request: Request) -> Database:
    return request.app.state.database


async def _endpoints(request: Request) -> Endpoints:
    return request.app.state.endpoints


Config = Annotated[Settings, Depends(_settings)]
Db = Annotated[Database, Depends(_database)]
"""For endpoints that wait for something outside, and must not hold a transaction meanwhile."""
Calls = Annotated[Endpoints, Depends(_endpoints)]
