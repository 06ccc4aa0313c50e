"""Every SELECT of identity."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity.model import (
    Account,
    AccountKind,
    Mandate,
    MiniProgramLink,
    OrganisationLink,
    Revocation,
    SignIn,
    SigningKey,
    SmsCode,
    SmsMessage,
    SmsPurpose,
    StaffRole,
    Throttle,
)
from shared.errors import NotFoundError

TOKENS_DEAD = timedelta(minutes=15)
"""No access token lives longer."""
FIRST = UUID(int=0)
"""Smaller than every id: where the first page begins."""
NEWEST_MESSAGES = 10
FEED_PAGE = 1000


async def get_account(session: AsyncSession, account_id: UUID, *, lock: bool = False) -> Account:
    """The account.

    Raises:
        NotFoundError: there is none.
    """
    account = await session.get(Account, account_id, with_for_update=lock)
    if account is None:
        raise NotFoundError("no such account")
    return account


async def lock_staff(session: AsyncSession, account_id: UUID) -> Account:
    """A staff member, locked.

    Raises:
        NotFoundError: there is none.
    """
    account = await get_account(session, account_id, lock=True)
    if account.kind is not AccountKind.STAFF:
        raise NotFoundError("no such staff member")
    return account


async def find_account(session: AsyncSession, account_id: UUID) -> Account | None:
    return await session.get(Account, account_id)


async def find_by_phone(session: AsyncSession, phone_hash: bytes) -> Account | None:
    return await session.scalar(select(Account).where(Account.phone_hash == phone_hash))


async def find_by_id_number(session: AsyncSession, id_number_hash: bytes) -> Account | None:
    return await session.scalar(select(Account).where(Account.id_number_hash == id_number_hash))


async def find_by_uscc(session: AsyncSession, uscc: str) -> Account | None:
    return await session.scalar(select(Account).where(Account.uscc == uscc))


async def lock_current_link(
    session: AsyncSession, organisation_id: UUID
) -> OrganisationLink | None:
    """The link to the present representative of the organisation, locked."""
    statement = select(OrganisationLink).where(
        OrganisationLink.organisation_id == organisation_id, OrganisationLink.ended_at.is_(None)
    )
    return await session.scalar(statement.with_for_update())


async def lock_own_link(
    session: AsyncSession, organisation_id: UUID, *, person_id: UUID
) -> OrganisationLink:
    """The person's own link to the organisation, locked.

    Raises:
        NotFoundError: the person does not represent it; so for one that does not exist.
    """
    link = await lock_current_link(session, organisation_id)
    if link is None or link.person_id != person_id:
        raise NotFoundError("no such organisation of yours")
    return link


async def list_organisations(session: AsyncSession, person_id: UUID) -> Sequence[Account]:
    """The organisations for which the person may act."""
    linked = select(OrganisationLink.organisation_id).where(
        OrganisationLink.person_id == person_id, OrganisationLink.ended_at.is_(None)
    )
    statement = select(Account).where(Account.id.in_(linked)).order_by(Account.id)
    return (await session.scalars(statement)).all()


async def get_mandate(session: AsyncSession, mandate_id: UUID, *, lock: bool = False) -> Mandate:
    """The mandate; with `lock` it is read again, because it may have changed before the lock.

    Raises:
        NotFoundError: there is none.
    """
    mandate = await session.get(Mandate, mandate_id, with_for_update=lock, populate_existing=lock)
    if mandate is None:
        raise NotFoundError("no such mandate of yours")
    return mandate


async def list_mandates(
    session: AsyncSession, account: Account, *, after: UUID, limit: int
) -> Sequence[Mandate]:
    """Granted by the account, or written for it: one more than `limit`, if there are more."""
    mine = Mandate.principal_id == account.id
    if account.id_number_hash is not None:
        mine |= Mandate.agent_id_hash == account.id_number_hash
    statement = (
        select(Mandate).where(mine, Mandate.id > after).order_by(Mandate.id).limit(limit + 1)
    )
    return (await session.scalars(statement)).all()


async def find_by_mini_program(
    session: AsyncSession, app_id: str, *, openid_hash: bytes
) -> Account | None:
    statement = (
        select(Account)
        .join(MiniProgramLink, MiniProgramLink.account_id == Account.id)
        .where(MiniProgramLink.app_id == app_id, MiniProgramLink.openid_hash == openid_hash)
    )
    return await session.scalar(statement)


async def find_by_unionid(session: AsyncSession, unionid_hash: bytes) -> Account | None:
    """The account that any mini-program of the same owner knows."""
    statement = (
        select(Account)
        .join(MiniProgramLink, MiniProgramLink.account_id == Account.id)
        .where(MiniProgramLink.unionid_hash == unionid_hash)
        .limit(1)
    )
    return await session.scalar(statement)


async def is_administered(session: AsyncSession) -> bool:
    """Whether there is an active administrator."""
    statement = (
        select(Account.id)
        .where(
            Account.kind == AccountKind.STAFF,
            Account.active,
            Account.roles.contains([StaffRole.ADMINISTRATOR]),
        )
        .limit(1)
    )
    return await session.scalar(statement) is not None


async def lock_by_username(session: AsyncSession, username: str) -> Account | None:
    statement = select(Account).where(Account.username == username)
    return await session.scalar(statement.with_for_update())


async def list_staff(session: AsyncSession, *, after: UUID, limit: int) -> Sequence[Account]:
    """Staff members: one more than `limit`, if there are more."""
    statement = (
        select(Account)
        .where(Account.kind == AccountKind.STAFF, Account.id > after)
        .order_by(Account.id)
        .limit(limit + 1)
    )
    return (await session.scalars(statement)).all()


async def lock_newest_code(
    session: AsyncSession, phone_hash: bytes, *, purpose: SmsPurpose
) -> SmsCode | None:
    """The valid code of a phone, locked: older ones are not valid any more."""
    statement = (
        select(SmsCode)
        .where(SmsCode.phone_hash == phone_hash, SmsCode.purpose == purpose)
        .order_by(SmsCode.created_at.desc())
        .limit(1)
        .with_for_update()
    )
    return await session.scalar(statement)


class SentCodes(NamedTuple):
    """Codes sent to a phone in the last minute and day, and from an address in the last hour."""

    phone_minute: int
    phone_day: int
    address_hour: int


async def count_codes(
    session: AsyncSession, *, phone_hash: bytes, address: str, now: datetime
) -> SentCodes:
    """How many codes were sent lately, for the limits."""
    of_phone = SmsCode.phone_hash == phone_hash
    of_address = SmsCode.address == address
    statement = select(
        func.count().filter(of_phone, SmsCode.created_at > now - timedelta(minutes=1)),
        func.count().filter(of_phone),
        func.count().filter(of_address, SmsCode.created_at > now - timedelta(hours=1)),
    ).where(of_phone | of_address, SmsCode.created_at > now - timedelta(days=1))
    row = (await session.execute(statement)).one()
    return SentCodes(*row)


async def list_messages(session: AsyncSession, phone_hash: bytes) -> Sequence[SmsMessage]:
    """The newest messages to a phone."""
    statement = (
        select(SmsMessage)
        .where(SmsMessage.phone_hash == phone_hash)
        .order_by(SmsMessage.sent_at.desc())
        .limit(NEWEST_MESSAGES)
    )
    return (await session.scalars(statement)).all()


async def lock_session(session: AsyncSession, session_id: UUID) -> SignIn | None:
    return await session.get(SignIn, session_id, with_for_update=True)


async def list_sessions(
    session: AsyncSession, account_id: UUID, *, now: datetime, lock: bool = False
) -> Sequence[SignIn]:
    """The open sessions of an account, in the order they began."""
    statement = (
        select(SignIn)
        .where(SignIn.account_id == account_id, ~SignIn.revoked, SignIn.expires_at > now)
        .order_by(SignIn.signed_in_at, SignIn.id)
    )
    if lock:
        statement = statement.with_for_update()
    return (await session.scalars(statement)).all()


async def list_revocations(
    session: AsyncSession, after: int, *, now: datetime
) -> Sequence[Revocation]:
    """Entries of the feed whose tokens may still be alive."""
    statement = (
        select(Revocation)
        .where(Revocation.position > after, Revocation.at > now - TOKENS_DEAD)
        .order_by(Revocation.position)
        .limit(FEED_PAGE)
    )
    return (await session.scalars(statement)).all()


async def list_published_keys(session: AsyncSession, now: datetime) -> Sequence[SigningKey]:
    """Keys whose tokens may still be valid, or that will sign next."""
    is_fresh = SigningKey.retired_at.is_(None) | (SigningKey.retired_at > now - TOKENS_DEAD)
    statement = select(SigningKey).where(is_fresh).order_by(SigningKey.created_at)
    return (await session.scalars(statement)).all()


async def find_blocked_until(session: AsyncSession, subjects: Sequence[bytes]) -> datetime | None:
    """When the last pause of these accounts and addresses ends."""
    return await session.scalar(
        select(func.max(Throttle.blocked_until)).where(Throttle.subject.in_(subjects))
    )
