"""Pre-issued tokens (预制码): for windows of private networks, which check them themselves."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import NewInvitation, new_visit
from services.ratings.invitations.model.keys import TokenBatch
from services.ratings.invitations.model.refusals import TokenForeignError
from services.ratings.invitations.model.tokens import (
    BatchClaims,
    LinkClaims,
    Token,
    VisitClaims,
    batch_subject,
    end_of,
    token_hash,
)
from services.ratings.invitations.queries import tokens
from services.ratings.invitations.schemas import OrderBatch
from services.ratings.invitations.use_cases.keys import get_signer, tokens_of
from services.ratings.journal import Action, Entry, Journal
from services.ratings.settings import Settings
from shared.database.direct import Direct
from shared.domain.workdays import Moment
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.ids import new_id


class RedeemedSubject(NamedTuple):
    subject_id: UUID


REDEEM = Direct(
    "INSERT INTO redemption (subject_id, batch_id, number, invitation_id, redeemed_at)"
    " SELECT r.*, :now FROM unnest(CAST(:subjects AS uuid[]), CAST(:batches AS uuid[]),"
    " CAST(:numbers AS int[]), CAST(:invitations AS uuid[])) AS r"
    " ON CONFLICT DO NOTHING RETURNING subject_id",
    RedeemedSubject,
)


async def order_batch(
    session: AsyncSession, form: OrderBatch, *, orderer: str, settings: Settings, at: Moment
) -> TokenBatch:
    last = at.today + timedelta(days=settings.batch_days_max)
    if not at.today <= form.expires_on <= last:
        error = FieldError(
            "expires_on", "range", message="lies between today and {last}", last=last
        )
        raise InvalidInputError("tokens cannot live that long", [error])
    signer = await get_signer(session, at.now)
    batch = TokenBatch(
        id=new_id(),
        area_code=form.area_code,
        department_code=form.department_code,
        hall=form.hall,
        window=form.window,
        size=form.size,
        expires_on=form.expires_on,
        kid=signer.kid,
        ordered_by=orderer,
        ordered_at=at.now,
        downloaded_at=None,
    )
    session.add(batch)
    journal = Journal(session)
    journal.append(Entry(Action.ORDER_BATCH, batch.id, detail={"size": batch.size}))
    await journal.write()
    return batch


class DownloadedBatch(NamedTuple):
    batch: TokenBatch
    tokens: list[str]


async def download_batch(
    session: AsyncSession, batch_id: UUID, *, now: datetime
) -> DownloadedBatch:
    """The tokens, once: what is lost on the way is ordered anew."""
    batch = await tokens.get_batch(session, batch_id, lock=True)
    if batch.downloaded_at is not None:
        raise ConflictError(
            "this batch was downloaded; order another",
            extra={"downloaded_at": str(batch.downloaded_at)},
        )
    # Marked before the tokens leave: they are given out at most once, even after a crash.
    batch.downloaded_at = now
    journal = Journal(session)
    journal.append(Entry(Action.DOWNLOAD_BATCH, batch.id))
    await journal.write()
    return DownloadedBatch(batch, await tokens_of(session, batch))


def batch_of(
    token: Token, claims: BatchClaims, *, batches: Mapping[UUID, TokenBatch]
) -> TokenBatch:
    """The batch that a verified token belongs to.

    Raises `TokenForeignError` where there is no such batch, or no such number in it.
    """
    batch = batches.get(claims.batch_id)
    if (
        batch is None
        or not 1 <= claims.number <= batch.size
        # The expiry is part of the claims; a token with another one was not made for this batch.
        or token.expires != end_of(batch.expires_on)
    ):
        raise TokenForeignError("this token belongs to no batch of ours")
    return batch


def batch_visit(batch: TokenBatch, number: int, *, token: str, now: datetime) -> NewInvitation:
    """The visit that a token stands for when it is bound to no case."""
    return new_visit(
        batch_subject(batch.id, number),
        f"batch:{batch.id}:{number}",
        office=batch.office,
        hall=batch.hall,
        window=batch.window,
        # No link: the token is printed, and its key is known by the batch.
        kid="",
        token_hash=token_hash(token),
        invited_at=now,
        open_until=batch.expires_on,
    )


class NewRedemption(NamedTuple):
    """A token of a batch that is being used to rate an invitation."""

    subject_id: UUID
    batch_id: UUID
    number: int
    invitation_id: UUID


async def redeem(
    session: AsyncSession, redemptions: Sequence[NewRedemption], *, now: datetime
) -> set[UUID]:
    """Use tokens up; returns the subjects of those that were not used before.

    Of parallel uses of one token the first has it; the others wait for its end.
    """
    rows = await REDEEM.fetch(
        session,
        subjects=[one.subject_id for one in redemptions],
        batches=[one.batch_id for one in redemptions],
        numbers=[one.number for one in redemptions],
        invitations=[one.invitation_id for one in redemptions],
        now=now,
    )
    return {row.subject_id for row in rows}


async def find_rated_invitation(session: AsyncSession, token: Token) -> UUID | None:
    """The invitation that a link's token stands for, or that a pre-issued one was used for."""
    match token.claims:
        case LinkClaims(invitation_id):
            return invitation_id
        case BatchClaims(batch_id, number):
            redemption = await tokens.find_redemption(session, batch_subject(batch_id, number))
            return redemption.invitation_id if redemption is not None else None
        case VisitClaims():
            # It lives for minutes and was used by a phone, which has no further right.
            return None
