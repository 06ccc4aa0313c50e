"""Accounts: who a person is, staff and their posts."""

import asyncio
import secrets
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import COUNTER_LEVEL, REAL_NAME_LEVEL, Account, check_roles
from services.identity.providers import RealNameProvider
from services.identity.schemas import (
    ChangeStaff,
    NewStaff,
    StaffCreated,
    VerifyAtCounter,
    VerifyIdentity,
)
from services.identity.use_cases.sessions import end_sessions
from services.identity.use_cases.sign_in import PASSWORDS
from services.identity.use_cases.sms import alone
from shared import clock
from shared.database import audit
from shared.errors import ConflictError, FieldError, InvalidInputError, NotFoundError
from shared.http.etags import check_version
from shared.messaging import outbox
from shared.security.crypto import lookup_hash


async def verify_identity(
    session: AsyncSession,
    account_id: UUID,
    command: VerifyIdentity,
    provider: RealNameProvider,
    now: datetime,
) -> int:
    """Raise a person's account to level 2. A number that another account holds is refused: one person, one account."""
    account = await queries.get_account(session, account_id, lock=True)
    if account.level >= REAL_NAME_LEVEL:
        raise ConflictError("the real name is verified already")
    return await _raise_level(
        session, account, command, provider, REAL_NAME_LEVEL, "real_name", now
    )


async def verify_at_counter(
    session: AsyncSession, command: VerifyAtCounter, provider: RealNameProvider, now: datetime
) -> int:
    """A window clerk saw the person with the card (窗口核验): level 3 for the account of that phone."""
    found = await queries.find_by_phone(session, lookup_hash(command.phone, "phone"))
    if found is None:
        raise NotFoundError("no account has this phone; the person signs in once by SMS code first")
    account = await queries.get_account(session, found.id, lock=True)
    if account.level >= COUNTER_LEVEL:
        raise ConflictError("was verified at a counter already")
    return await _raise_level(
        session, account, command, provider, COUNTER_LEVEL, "counter", now, reason=command.reason
    )


async def _raise_level(
    session: AsyncSession,
    account: Account,
    card: VerifyIdentity,
    provider: RealNameProvider,
    level: int,
    method: str,
    now: datetime,
    *,
    reason: str | None = None,
) -> int:
    id_number_hash = lookup_hash(card.id_number, "id_number")
    holder = await queries.find_by_id_number(session, id_number_hash)
    if holder is not None and holder.id != account.id:
        raise ConflictError(
            "this person has an account already; sign in with its phone, or ask at a counter to join them"
        )
    if account.id_number_hash not in {None, id_number_hash}:
        raise ConflictError("this account is another person's")
    if not await provider.verify(
        card.name, card.id_number, card.id_valid_until, clock.local_date(now)
    ):
        fault = FieldError(
            "id_number", "real_name", "name, number and validity do not belong together"
        )
        raise InvalidInputError("the identity could not be verified", [fault])
    outbox.add(
        session, account.verify(card.name, card.id_number, id_number_hash, level, method, now)
    )
    audit.record(
        session, "identity.verify", "account", account.id, reason=reason, level=level, method=method
    )
    return account.level


async def create_administrator(
    session: AsyncSession, command: NewStaff, now: datetime, *, another: bool = False
) -> StaffCreated:
    """The first administrator, whom nobody else can create; one more only when that is said."""
    await alone(session, lookup_hash("administrator", "first"))
    if not another and await queries.is_administered(session):
        raise ConflictError("there is an administrator already; say --another to create one more")
    return await create_staff(session, command, now)


async def create_staff(session: AsyncSession, command: NewStaff, now: datetime) -> StaffCreated:
    """A staff member with a first password and TOTP secret, shown once."""
    check_roles(set(command.roles))
    if await queries.find_by_username(session, command.username) is not None:
        raise ConflictError("the user name is taken")
    password, secret = secrets.token_urlsafe(12), security.new_totp_secret()
    account, fact = Account.new(
        "staff",
        now,
        username=command.username,
        name=command.name,
        password_hash=await asyncio.to_thread(PASSWORDS.hash, password),
        totp_secret=secret,
        area_code=command.area_code,
        department_code=command.department_code,
        roles=sorted(set(command.roles)),
    )
    session.add(account)
    await session.flush()
    outbox.add(session, fact)
    outbox.add(session, account.changed(now))
    audit.record(session, "staff.create", "account", account.id, roles=account.roles)
    return StaffCreated(
        id=account.id, username=command.username, initial_password=password, totp_secret=secret
    )


async def change_staff(
    session: AsyncSession, account_id: UUID, command: ChangeStaff, expected: int, now: datetime
) -> Account:
    """Another post: its sessions end, so that no token carries the old one."""
    check_roles(set(command.roles))
    account = await queries.get_staff(session, account_id)
    check_version(account.revision, expected)
    if not account.active:
        raise ConflictError("has left; create the staff member anew")
    account.area_code, account.department_code = command.area_code, command.department_code
    account.roles = sorted(set(command.roles))
    outbox.add(session, account.changed(now))
    audit.record(session, "staff.change", "account", account_id, roles=account.roles)
    _ = await end_sessions(session, account_id, "post changed", now)
    return account


async def depart_staff(
    session: AsyncSession, account_id: UUID, reason: str, now: datetime
) -> Account:
    """Leaving a post ends every session at once."""
    account = await queries.get_staff(session, account_id)
    if not account.active:
        raise ConflictError("has left already")
    account.active = False
    outbox.add(session, account.changed(now))
    audit.record(session, "staff.depart", "account", account_id, reason=reason)
    _ = await end_sessions(session, account_id, "left the post", now)
    return account
