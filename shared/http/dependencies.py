"""FastAPI dependencies that every service uses."""

from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from shared import clock
from shared.database.acts import Act
from shared.database.session import Database
from shared.http.etags import IfMatch
from shared.security.tokens import Caller

T = TypeVar("T")
Dependency = Callable[..., Coroutine[Any, Any, T]]


async def request_session(request: Request) -> AsyncIterator[AsyncSession]:
    database: Database = request.app.state.database
    async with database.transaction() as session:
        yield session


async def request_reader(request: Request) -> AsyncIterator[AsyncSession]:
    database: Database = request.app.state.database
    async with database.reading() as session:
        yield session


# scope="function": with FastAPI's default scope a commit that fails after `yield` would still
# answer 200.
Session = Annotated[AsyncSession, Depends(request_session, scope="function")]
"""The request's transaction, committed before the answer leaves."""
ReadSession = Annotated[AsyncSession, Depends(request_reader, scope="function")]
"""For endpoints that only read."""


# These are async although they wait for nothing: FastAPI runs a plain function in a thread.
async def request_database(request: Request) -> Database:
    return request.app.state.database


Db = Annotated[Database, Depends(request_database)]
"""For endpoints whose work is more than one transaction."""


def settings_of(kind: type[T]) -> Dependency[T]:
    """Dependency: the settings of the service, which are of the type `kind`."""

    async def settings(request: Request) -> T:
        found = request.app.state.settings
        assert isinstance(found, kind)
        return found

    return settings


async def current_time() -> datetime:
    return clock.now()


Now = Annotated[datetime, Depends(current_time)]


def act_by(caller: Dependency[Caller], at: Dependency[T]) -> Dependency[Act[T]]:
    """Dependency: an act on a shared record by whoever `caller` lets pass.

    The caller is checked first, then the version in `If-Match` (428 when missing), then the
    transaction is opened and `at` is asked for the time.
    """

    async def act(
        *,
        by: Annotated[Caller, Depends(caller)],
        expected: IfMatch,
        session: Session,
        moment: Annotated[T, Depends(at)],
        response: Response,
    ) -> Act[T]:
        return Act(session, by, moment, expected, response.headers)

    return act
