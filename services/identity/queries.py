"""Every SELECT of identity."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity.model import (
    Account,
    Mandate,
    MiniProgramLink,
    OrganisationLink,
    Revocation,
    SignIn,
    SigningKey,
    SmsCode,
    SmsMessage,
    Throttle,
)
from shared.errors import NotFoundError

TOKENS_DEAD = timedelta(minutes=15)
"""No access token is older."""


async def get_account(session: AsyncSession, account_id: UUID, *, lock: bool = False) -> Account:
    account = await session.get(Account, account_id, with_for_update=lock)
    if account is None:
        raise NotFoundError("no such account")
    return account


async def get_staff(session: AsyncSession, account_id: UUID) -> Account:
    """A staff member, locked."""
    account = await get_account(session, account_id, lock=True)
    if account.kind != "staff":
        raise NotFoundError("no such staff member")
    return account


async def find_by_phone(session: AsyncSession, phone_hash: bytes) -> Account | None:
    return await session.scalar(select(Account).where(Account.phone_hash == phone_hash))


async def find_by_id_number(session: AsyncSession, id_number_hash: bytes) -> Account | None:
    return await session.scalar(select(Account).where(Account.id_number_hash == id_number_hash))


async def find_by_uscc(session: AsyncSession, uscc: str) -> Account | None:
    return await session.scalar(select(Account).where(Account.uscc == uscc))


async def find_current_link(
    session: AsyncSession, organisation_id: UUID
) -> OrganisationLink | None:
    """The organisation's representative of today, locked."""
    statement = select(OrganisationLink).where(
        OrganisationLink.organisation_id == organisation_id, OrganisationLink.ended_at.is_(None)
    )
    return await session.scalar(statement.with_for_update())


async def get_own_link(
    session: AsyncSession, organisation_id: UUID, person_id: UUID
) -> OrganisationLink:
    """The person's own link, locked; an organisation of others is as good as none."""
    link = await find_current_link(session, organisation_id)
    if link is None or link.person_id != person_id:
        raise NotFoundError("no such organisation of yours")
    return link


async def list_organisations(session: AsyncSession, person_id: UUID) -> Sequence[Account]:
    """For which the person may act."""
    linked = select(OrganisationLink.organisation_id).where(
        OrganisationLink.person_id == person_id, OrganisationLink.ended_at.is_(None)
    )
    return (
        await session.scalars(select(Account).where(Account.id.in_(linked)).order_by(Account.id))
    ).all()


async def get_mandate(session: AsyncSession, mandate_id: UUID, *, lock: bool = False) -> Mandate:
    mandate = await session.get(Mandate, mandate_id, with_for_update=lock, populate_existing=lock)
    if mandate is None:
        raise NotFoundError("no such mandate of yours")
    return mandate


async def list_mandates(
    session: AsyncSession, account: Account, after: UUID, limit: int
) -> Sequence[Mandate]:
    """Granted by the account, or written for it."""
    mine = Mandate.principal_id == account.id
    if account.id_number_hash is not None:
        mine |= Mandate.agent_id_hash == account.id_number_hash
    statement = (
        select(Mandate).where(mine, Mandate.id > after).order_by(Mandate.id).limit(limit + 1)
    )
    return (await session.scalars(statement)).all()


async def find_by_mini_program(
    session: AsyncSession, app_id: str, openid_hash: bytes
) -> Account | None:
    statement = select(Account).join(MiniProgramLink, MiniProgramLink.account_id == Account.id)
    own = MiniProgramLink.app_id == app_id, MiniProgramLink.openid_hash == openid_hash
    return await session.scalar(statement.where(*own))


async def find_by_unionid(session: AsyncSession, unionid_hash: bytes) -> Account | None:
    statement = select(Account).join(MiniProgramLink, MiniProgramLink.account_id == Account.id)
    return await session.scalar(
        statement.where(MiniProgramLink.unionid_hash == unionid_hash).limit(1)
    )


async def is_administered(session: AsyncSession) -> bool:
    """Whether an administrator is in office."""
    statement = select(Account.id).where(
        Account.kind == "staff", Account.active, Account.roles.contains(["administrator"])
    )
    return await session.scalar(statement.limit(1)) is not None


async def find_by_username(session: AsyncSession, username: str) -> Account | None:
    return await session.scalar(
        select(Account).where(Account.username == username).with_for_update()
    )


async def list_staff(session: AsyncSession, after: UUID, limit: int) -> Sequence[Account]:
    statement = (
        select(Account).where(Account.kind == "staff", Account.id > after).order_by(Account.id)
    )
    return (await session.scalars(statement.limit(limit + 1))).all()


async def find_newest_code(
    session: AsyncSession, phone_hash: bytes, purpose: str
) -> SmsCode | None:
    """The code that counts, locked: older ones of the same number do not."""
    statement = select(SmsCode).where(SmsCode.phone_hash == phone_hash, SmsCode.purpose == purpose)
    return await session.scalar(
        statement.order_by(SmsCode.created_at.desc()).limit(1).with_for_update()
    )


async def count_codes(
    session: AsyncSession, phone_hash: bytes, address: str, now: datetime
) -> tuple[int, int, int]:
    """Codes sent to the number in the last minute and day, and from the address in the last hour."""
    row = await session.execute(
        select(
            func.count().filter(
                SmsCode.phone_hash == phone_hash, SmsCode.created_at > now - timedelta(minutes=1)
            ),
            func.count().filter(SmsCode.phone_hash == phone_hash),
            func.count().filter(
                SmsCode.address == address, SmsCode.created_at > now - timedelta(hours=1)
            ),
        ).where(
            (SmsCode.phone_hash == phone_hash) | (SmsCode.address == address),
            SmsCode.created_at > now - timedelta(days=1),
        )
    )
    minute, day, hour = row.one()
    return minute, day, hour


async def list_messages(session: AsyncSession, phone_hash: bytes) -> Sequence[SmsMessage]:
    """The newest ten."""
    statement = (
        select(SmsMessage)
        .where(SmsMessage.phone_hash == phone_hash)
        .order_by(SmsMessage.sent_at.desc())
    )
    return (await session.scalars(statement.limit(10))).all()


async def find_session(session: AsyncSession, session_id: UUID) -> SignIn | None:
    return await session.get(SignIn, session_id, with_for_update=True)


async def list_sessions(
    session: AsyncSession, account_id: UUID, now: datetime, *, lock: bool = False
) -> Sequence[SignIn]:
    statement = select(SignIn).where(
        SignIn.account_id == account_id, ~SignIn.revoked, SignIn.expires_at > now
    )
    ordered = statement.order_by(SignIn.signed_in_at, SignIn.id)
    return (await session.scalars(ordered.with_for_update() if lock else ordered)).all()


async def list_revocations(
    session: AsyncSession, after: int, now: datetime
) -> Sequence[Revocation]:
    """Those whose tokens may still be alive."""
    statement = select(Revocation).where(
        Revocation.position > after, Revocation.at > now - TOKENS_DEAD
    )
    return (await session.scalars(statement.order_by(Revocation.position).limit(1000))).all()


async def list_published_keys(session: AsyncSession, now: datetime) -> Sequence[SigningKey]:
    """Keys whose tokens may still be valid, or that will sign next."""
    fresh = SigningKey.retired_at.is_(None) | (SigningKey.retired_at > now - TOKENS_DEAD)
    return (
        await session.scalars(select(SigningKey).where(fresh).order_by(SigningKey.created_at))
    ).all()


async def find_blocked_until(session: AsyncSession, subjects: Sequence[bytes]) -> datetime | None:
    return await session.scalar(
        select(func.max(Throttle.blocked_until)).where(Throttle.subject.in_(subjects))
    )
