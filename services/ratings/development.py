"""Endpoints of a development system only."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel

from services.ratings import timers
from services.ratings.access import Config
from services.ratings.invitations.queries import tokens
from services.ratings.invitations.schemas import SentMessage
from services.ratings.schema_base import Phone, Strict
from services.ratings.settings import Settings
from shared.errors import NotFoundError
from shared.http.dependencies import Db, ReadSession
from shared.security.auth import Administrator
from shared.security.crypto import lookup_hash

router = APIRouter(prefix="/development")


class TimerRun(Strict):
    """Run the timers as if it were then (development and demonstrations)."""

    as_of: AwareDatetime


class TimerRan(BaseModel):
    """What the timers did."""

    escalated: int
    closed: int
    published: int


def _check_development(settings: Settings) -> None:
    if not settings.development:
        raise NotFoundError("only in development")


@router.post("/timer-runs")
async def run_timers(
    command: TimerRun, database: Db, settings: Config, _administrator: Administrator
) -> TimerRan:
    """Run the clocks of tickets and publication as if it were `as_of`; 404 in production."""
    _check_development(settings)
    # In the order of the worker: a ticket that closes now may be published then.
    watched = await timers.watch_tickets(database, command.as_of)
    published = await timers.publish_ratings(database, command.as_of)
    return TimerRan(escalated=watched.escalated, closed=watched.closed, published=published)


@router.get("/sms-messages")
async def list_sms_messages(
    session: ReadSession,
    settings: Config,
    _administrator: Administrator,
    phone: Annotated[Phone, Query()],
) -> list[SentMessage]:
    """What the development sender sent to a number; 404 in production."""
    _check_development(settings)
    found = await tokens.list_messages(session, lookup_hash(phone, purpose="phone"))
    return [SentMessage(sent_at=message.sent_at, text=message.text) for message in found]
