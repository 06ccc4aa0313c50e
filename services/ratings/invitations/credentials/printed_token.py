"""Pre-issued tokens (预制码): for windows of private networks, which check them with the published keys, without asking us."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.keys import TokenBatch
from services.ratings.invitations.model.refusals import TokenExpiredError, TokenForeignError
from services.ratings.invitations.model.tokens import (
    Token,
    batch_subject,
    end_of,
    forged,
    read_id,
    token_hash,
)
from services.ratings.invitations.queries import invitations, tokens
from services.ratings.invitations.schemas import OrderBatch
from services.ratings.invitations.use_cases.invite import Invited, store_invitations
from services.ratings.invitations.use_cases.keys import get_signer, tokens_of
from services.ratings.settings import Settings
from shared.database import audit
from shared.domain.workdays import Moment
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.ids import new_id

REDEEM = text(
    "INSERT INTO redemption (subject_id, batch_id, number, invitation_id, redeemed_at)"
    " SELECT r.*, :now FROM unnest(CAST(:subjects AS uuid[]), CAST(:batches AS uuid[]), CAST(:numbers AS int[]),"
    " CAST(:invitations AS uuid[])) AS r ON CONFLICT DO NOTHING RETURNING subject_id"
)


async def order_batch(
    session: AsyncSession, command: OrderBatch, orderer: str, settings: Settings, at: Moment
) -> TokenBatch:
    last = at.today + timedelta(days=settings.batch_days_max)
    if not at.today <= command.expires_on <= last:
        fault = FieldError("expires_on", "range", f"lies between today and {last}")
        raise InvalidInputError("tokens cannot live that long", [fault])
    signer = await get_signer(session, at.now)
    batch = TokenBatch(
        id=new_id(),
        kid=signer.kid,
        ordered_by=orderer,
        ordered_at=at.now,
        downloaded_at=None,
        **command.model_dump(),
    )
    session.add(batch)
    audit.record(session, "token-batch.order", "token_batch", batch.id, size=batch.size)
    await session.flush()
    return batch


async def download_batch(
    session: AsyncSession, batch_id: UUID, now: datetime
) -> tuple[TokenBatch, list[str]]:
    """The tokens, once: what is lost on the way is ordered anew."""
    batch = await tokens.get_batch(session, batch_id, lock=True)
    if batch.downloaded_at is not None:
        raise ConflictError(
            "this batch was downloaded; order another",
            extra={"downloaded_at": str(batch.downloaded_at)},
        )
    batch.downloaded_at = now
    audit.record(session, "token-batch.download", "token_batch", batch.id)
    return batch, await tokens_of(session, batch)


def number_in(token: Token, batch: TokenBatch | None) -> int:
    """The token's number in its batch; foreign where there is no such batch or number."""
    number = token.claims.get("n")
    if (
        batch is None
        or not isinstance(number, int)
        or not 1 <= number <= batch.size
        or token.expires != end_of(batch.expires_on)
    ):
        raise TokenForeignError("this token belongs to no batch of ours")
    return number


def batch_of(token: Token) -> UUID:
    """The batch that a token names."""
    if "bat" not in token.claims:
        raise forged()
    return read_id(token.claims["bat"])


def unbound(batch: TokenBatch, number: int, token: str, now: datetime) -> Invited:
    """The visit that a token is good for when it is bound to no case."""
    subject = batch_subject(batch.id, number)
    return Invited(
        id=subject,
        stage="visit",
        service_number=1,
        area_code=batch.area_code,
        department_code=batch.department_code,
        kid="",
        token_hash=token_hash(token),
        invited_at=now,
        open_until=batch.expires_on,
        visit=f"batch:{batch.id}:{number}",
        hall=batch.hall,
        window=batch.window,
    )


async def redeem(
    session: AsyncSession, token: Token, credential: str, bound: Invitation | None, at: Moment
) -> Invitation:
    """What one token rates: `bound`, the case it is bound to, or its own visit; the same again for a repetition."""
    found = await tokens.list_batches_by_id(session, [batch_of(token)])
    batch = found[0] if found else None
    number = number_in(token, batch)
    assert batch is not None
    subject = batch_subject(batch.id, number)
    if bound is not None and (bound.area_code, bound.department_code) != (
        batch.area_code,
        batch.department_code,
    ):
        raise TokenForeignError("this token belongs to another department than the case")
    known = await tokens.find_redemption(session, subject)
    if known is None:
        if at.today > batch.expires_on:
            raise TokenExpiredError("this token has expired")
        target = bound.id if bound is not None else subject
        values = {
            "subjects": [subject],
            "batches": [batch.id],
            "numbers": [number],
            "invitations": [target],
        }
        # Of parallel ones the first has it; the others wait for its end and find what it rated.
        _ = await session.execute(REDEEM, {**values, "now": at.now})
        known = await tokens.find_redemption(session, subject)
        assert known is not None
        if known.invitation_id == subject:
            _ = await store_invitations(session, [unbound(batch, number, credential, at.now)])
    invitation = await invitations.lock_invitation(session, known.invitation_id)
    assert invitation is not None
    return invitation
