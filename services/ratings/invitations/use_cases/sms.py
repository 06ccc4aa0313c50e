"""短信邀请: the link, sent to the applicant's phone where one is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.tokens import Signer, invitation_claims
from services.ratings.invitations.model.uses import SmsMessage
from services.ratings.invitations.queries import invitations
from services.ratings.invitations.use_cases.keys import signer_of
from shared import clock
from shared.database import audit
from shared.ids import new_id
from shared.security.crypto import lookup_hash

BATCH = 200
WORDS = {"acceptance": "已受理", "closing": "已办结"}


@dataclass(frozen=True, slots=True)
class Message:
    """A message to one phone. Neither is ever logged."""

    phone: str
    text: str


class SmsSender(Protocol):
    """An operator's gateway, or what stands for it."""

    async def send(self, session: AsyncSession, messages: Sequence[Message], now: datetime) -> None:
        """Hand over these messages, once, in the transaction that marks them as sent."""
        ...


class DevelopmentSender:
    """Keeps the messages for operators to read; an operator's gateway takes its place in production."""

    async def send(self, session: AsyncSession, messages: Sequence[Message], now: datetime) -> None:
        session.add_all(
            SmsMessage(
                id=new_id(), phone_hash=lookup_hash(one.phone, "phone"), text=one.text, sent_at=now
            )
            for one in messages
        )


def link(public_url: str, token: str) -> str:
    return f"{public_url.rstrip('/')}/rate/{token}"


async def send_invitations(
    session: AsyncSession, sender: SmsSender, public_url: str, now: datetime
) -> int:
    """Send one batch of those that wait; how many were looked at. What is rated or over needs no message."""
    waiting = await invitations.list_unsent(session, BATCH)
    signers: dict[str, Signer] = {}
    messages: list[Message] = []
    for invitation in waiting:
        invitation.sms_pending = False
        if (
            invitation.phone is None
            or invitation.rated_at
            or invitation.open_until < clock.local_date(now)
        ):
            continue
        if invitation.kid not in signers:
            signers[invitation.kid] = await signer_of(session, invitation.kid)
        token = signers[invitation.kid].sign(
            invitation_claims(invitation.id, invitation.open_until)
        )
        messages.append(Message(invitation.phone, _text(invitation, link(public_url, token))))
    if messages:
        await sender.send(session, messages, now)
        audit.record(session, "invitations.send", "invitation", waiting[0].id, number=len(messages))
    return len(waiting)


def _text(invitation: Invitation, address: str) -> str:
    what = (invitation.matter_name or "事项")[:30]
    day = f"{invitation.open_until.month}月{invitation.open_until.day}日"
    return f"您办理的“{what}”{WORDS.get(invitation.stage, '已办理')}，请评价我们的服务（{day}前，自愿）：{address}"
