"""FastAPI dependencies that every service uses."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.session import Database


async def request_session(request: Request) -> AsyncIterator[AsyncSession]:
    database: Database = request.app.state.database
    async with database.transaction() as session:
        yield session


async def request_reader(request: Request) -> AsyncIterator[AsyncSession]:
    database: Database = request.app.state.database
    async with database.reading() as session:
        yield session


# scope="function": with FastAPI's default scope a commit that fails after `yield` would still answer 200.
Session = Annotated[AsyncSession, Depends(request_session, scope="function")]
"""The request's transaction, committed before the answer leaves."""
ReadSession = Annotated[AsyncSession, Depends(request_reader, scope="function")]
"""For endpoints that only read."""
