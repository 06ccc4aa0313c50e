"""HTTP in and out of what only development has."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.identity import queries
from services.identity.router.access import Config
from services.identity.schemas import Phone, SentMessage
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession
from shared.http.idempotency import IdempotentRoute
from shared.security.auth import Administrator
from shared.security.crypto import lookup_hash

router = APIRouter(route_class=IdempotentRoute)


@router.get("/development/sms-messages")
async def list_sms_messages(
    session: ReadSession,
    settings: Config,
    _administrator: Administrator,
    phone: Annotated[Phone, Query()],
) -> list[SentMessage]:
    """What the development sender sent to a phone; 404 in production."""
    if not settings.development:
        raise NotFoundError("only in development")
    messages = await queries.list_messages(session, lookup_hash(phone, purpose="phone"))
    return [SentMessage(sent_at=message.sent_at, text=message.text) for message in messages]
