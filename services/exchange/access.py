"""Who may call: the system of an active peer, or an administrator. Everybody else is refused."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import Peer
from services.exchange.peers.queries import find_active_peer_of
from shared.database.session import Database
from shared.errors import ForbiddenError
from shared.http.dependencies import Db, Session
from shared.security.auth import CurrentCaller, with_scope
from shared.security.tokens import Caller, CallerKind

EVENTS = "exchange:events"
PUSH = "exchange:push"


def is_administrator(caller: Caller) -> bool:
    return caller.kind is CallerKind.STAFF and "administrator" in caller.roles


async def require_active_peer(session: AsyncSession, caller: Caller) -> Peer:
    """The active peer whose system calls.

    Raises `ForbiddenError` for everybody else, whatever is asked for.
    """
    peer = None
    if caller.kind is CallerKind.SYSTEM:
        peer = await find_active_peer_of(session, UUID(caller.subject))
    if peer is None:
        raise ForbiddenError("this is for the system of an active peer")
    return peer


async def current_peer(session: Session, caller: CurrentCaller) -> Peer:
    """Dependency: the peer that calls, whatever scope its token has.

    In the request's own transaction: a second connection beside it could wait for the first.
    """
    return await require_active_peer(session, caller)


CurrentPeer = Annotated[Peer, Depends(current_peer)]


def check_scope(caller: Caller, scope: str) -> None:
    if scope not in caller.scopes:
        raise ForbiddenError("this needs a system with the scope {scope}", scope=scope)


# The coroutine's send and yield types are those of `async def`; nobody uses them.
def peer_with(scope: str) -> Callable[..., Coroutine[Any, Any, Peer]]:
    """Dependency: the active peer that calls with this scope; 403 for others."""

    async def check(peer: CurrentPeer, caller: CurrentCaller) -> Peer:
        check_scope(caller, scope)
        return peer

    return check


Subscriber = Annotated[Peer, Depends(peer_with(EVENTS))]


async def _event_viewer(session: Session, caller: CurrentCaller) -> UUID | None:
    if is_administrator(caller):
        return None
    peer = await require_active_peer(session, caller)
    check_scope(caller, EVENTS)
    return peer.id


EventViewer = Annotated[UUID | None, Depends(_event_viewer)]
"""The id of the calling peer, which sees only its own; None for an administrator, who sees all."""


async def _pushing_peer(database: Database, caller: Caller) -> Peer:
    # The connection is given back at once, because the body of a batch may take its time.
    async with database.reading() as session:
        peer = await find_active_peer_of(session, UUID(caller.subject))
    if peer is None:
        raise ForbiddenError("this system is no active peer")
    return peer


async def pushing_peer(database: Db, caller: Annotated[Caller, Depends(with_scope(PUSH))]) -> Peer:
    """Dependency: the active peer whose system pushes a batch; no connection is held."""
    return await _pushing_peer(database, caller)


async def batch_viewer(database: Db, caller: CurrentCaller) -> Peer | None:
    """Dependency: the calling peer; None for an administrator, who may look at all batches."""
    if is_administrator(caller):
        return None
    if caller.kind is not CallerKind.SYSTEM or PUSH not in caller.scopes:
        raise ForbiddenError(
            "this needs a system with the scope {scope}, or an administrator", scope=PUSH
        )
    return await _pushing_peer(database, caller)


PushingPeer = Annotated[Peer, Depends(pushing_peer)]
BatchViewer = Annotated[Peer | None, Depends(batch_viewer)]
