"""短信邀请: the link, sent to the applicant's phone where one is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.tokens import Signer, link_claims
from services.ratings.invitations.model.uses import SmsMessage
from services.ratings.invitations.queries import invitations
from services.ratings.invitations.use_cases.keys import signer_of
from services.ratings.journal import Action, Entry, Journal
from services.ratings.rating.model.service_event import Stage
from shared import clock
from shared.ids import new_id
from shared.security.crypto import lookup_hash

BATCH = 200
STAGE_WORDS = {Stage.ACCEPTANCE: "已受理", Stage.CLOSING: "已办结", Stage.VISIT: "已办理"}
MATTER_NAME_MAX = 30
"""Characters of a matter's name in a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message to one phone. Neither is ever logged."""

    phone: str
    text: str


class SmsSender(Protocol):
    """An operator's gateway, or what replaces it in development."""

    async def send(
        self, session: AsyncSession, messages: Sequence[Message], *, now: datetime
    ) -> None:
        """Hand over these messages, once, in the transaction that marks them as sent."""
        ...


class DevelopmentSender:
    """Stores the messages for operators to read; in production an operator's gateway sends them."""

    async def send(
        self, session: AsyncSession, messages: Sequence[Message], *, now: datetime
    ) -> None:
        for message in messages:
            session.add(
                SmsMessage(
                    id=new_id(),
                    phone_hash=lookup_hash(message.phone, purpose="phone"),
                    text=message.text,
                    sent_at=now,
                )
            )


def link(public_url: str, *, token: str) -> str:
    """The address at which the holder of a token or code rates."""
    return f"{public_url.rstrip('/')}/rate/{token}"


async def send_invitations(
    session: AsyncSession, sender: SmsSender, *, public_url: str, now: datetime
) -> int:
    """Send one batch of those that wait; returns how many were looked at.

    What is rated already, or can be rated no more, needs no message.
    """
    waiting = await invitations.list_unsent(session, BATCH)
    signers: dict[str, Signer] = {}
    messages: list[Message] = []
    for invitation in waiting:
        # Also where no message is sent: nobody needs to look at it again.
        invitation.sms_pending = False
        is_over = invitation.open_until < clock.local_date(now)
        if invitation.phone is None or invitation.rated or is_over:
            continue
        signer = await _signer_of(session, invitation.kid, known=signers)
        token = signer.sign(link_claims(invitation.id, invitation.open_until))
        text = _message_text(invitation, link(public_url, token=token))
        messages.append(Message(invitation.phone, text))
    if messages:
        await sender.send(session, messages, now=now)
        await _record_sent(session, waiting[0], number=len(messages))
    return len(waiting)


async def _signer_of(session: AsyncSession, kid: str, *, known: dict[str, Signer]) -> Signer:
    # Nearly all invitations of a batch were signed by one key, so it is read once.
    if kid not in known:
        known[kid] = await signer_of(session, kid)
    return known[kid]


async def _record_sent(session: AsyncSession, first: Invitation, *, number: int) -> None:
    # One row for the batch, under its first invitation: messages go out by the thousand.
    journal = Journal(session)
    journal.append(Entry(Action.SEND_INVITATIONS, first.id, detail={"number": number}))
    await journal.write()


def _message_text(invitation: Invitation, address: str) -> str:
    matter = (invitation.matter_name or "事项")[:MATTER_NAME_MAX]
    done = STAGE_WORDS[invitation.stage]
    day = f"{invitation.open_until.month}月{invitation.open_until.day}日"
    # 自愿 stands in the text because nobody may be urged to rate (国办发〔2019〕51号).
    return f"您办理的“{matter}”{done}，请评价我们的服务（{day}前，自愿）：{address}"
