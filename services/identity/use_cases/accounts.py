"""Accounts: who a person is, staff members and their posts."""

import asyncio
import secrets
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import (
    COUNTER_LEVEL,
    REAL_NAME_LEVEL,
    Account,
    AccountKind,
    EndReason,
    StaffRole,
    VerificationMethod,
    check_roles,
)
from services.identity.providers import IdCard, RealNameProvider
from services.identity.schemas import (
    ChangeStaff,
    NewStaff,
    StaffCreated,
    VerifyAtCounter,
    VerifyIdentity,
)
from services.identity.use_cases.locks import advisory_lock
from services.identity.use_cases.sessions import end_sessions
from services.identity.use_cases.sign_in import PASSWORDS
from shared import clock
from shared.database import audit
from shared.database.acts import Act
from shared.errors import ConflictError, FieldError, InvalidInputError, NotFoundError
from shared.http.etags import check_version
from shared.messaging import outbox
from shared.security.crypto import lookup_hash


async def verify_identity(
    session: AsyncSession,
    account_id: UUID,
    *,
    command: VerifyIdentity,
    provider: RealNameProvider,
    now: datetime,
) -> int:
    """Raise a person's account to level 2; the level.

    Raises:
        ConflictError: it has that level, or the number belongs to another account.
        InvalidInputError: name, number and validity do not belong together.
    """
    account = await queries.get_account(session, account_id, lock=True)
    if account.level >= REAL_NAME_LEVEL:
        raise ConflictError("the real name is verified already")
    await _verify(
        session,
        account,
        card=command,
        method=VerificationMethod.REAL_NAME,
        provider=provider,
        now=now,
    )
    return account.level


async def verify_at_counter(
    session: AsyncSession, command: VerifyAtCounter, *, provider: RealNameProvider, now: datetime
) -> int:
    """A clerk saw the person with the card (窗口核验): level 3 for the account of that phone.

    Raises:
        NotFoundError: no account has this phone.
        ConflictError: it has that level, or the number belongs to another account.
        InvalidInputError: name, number and validity do not belong together.
    """
    found = await queries.find_by_phone(session, lookup_hash(command.phone, purpose="phone"))
    if found is None:
        raise NotFoundError("no account has this phone; the person signs in once by SMS code first")
    # Read again with a lock: two clerks may verify the same person at once.
    account = await queries.get_account(session, found.id, lock=True)
    if account.level >= COUNTER_LEVEL:
        raise ConflictError("was verified at a counter already")
    await _verify(
        session,
        account,
        card=command,
        method=VerificationMethod.COUNTER,
        provider=provider,
        now=now,
        reason=command.reason,
    )
    return account.level


LEVELS = {
    VerificationMethod.REAL_NAME: REAL_NAME_LEVEL,
    VerificationMethod.COUNTER: COUNTER_LEVEL,
}


async def _verify(
    session: AsyncSession,
    account: Account,
    *,
    card: VerifyIdentity,
    method: VerificationMethod,
    provider: RealNameProvider,
    now: datetime,
    reason: str | None = None,
) -> None:
    id_number_hash = lookup_hash(card.id_number, purpose="id_number")
    holder = await queries.find_by_id_number(session, id_number_hash)
    # One person has one account.
    if holder is not None and holder.id != account.id:
        raise ConflictError(
            "this person has an account already; sign in with its phone,"
            " or ask at a counter to join them"
        )
    # A verified account never changes its person: cases and licenses hang on it.
    if account.id_number_hash not in {None, id_number_hash}:
        raise ConflictError("this account is another person's")
    stated = IdCard(card.name, card.id_number, card.id_valid_until)
    if not await provider.verify(stated, clock.local_date(now)):
        fault = FieldError(
            "id_number", "real_name", message="name, number and validity do not belong together"
        )
        raise InvalidInputError("the identity could not be verified", [fault])
    event = account.verify(
        name=card.name,
        id_number=card.id_number,
        id_number_hash=id_number_hash,
        level=LEVELS[method],
        method=method,
        now=now,
    )
    outbox.add(session, event)
    audit.record(
        session,
        "identity.verify",
        object_type="account",
        object_id=account.id,
        reason=reason,
        level=account.level,
        method=method,
    )


async def create_administrator(
    session: AsyncSession, command: NewStaff, *, now: datetime, another: bool = False
) -> StaffCreated:
    """The first administrator, whom nobody else can create.

    Raises:
        ConflictError: there is one already and `another` is not set.
    """
    # So that two commands at once create one administrator.
    await advisory_lock(session, lookup_hash("administrator", purpose="first"))
    if not another and await queries.is_administered(session):
        raise ConflictError("there is an administrator already; say --another to create one more")
    return await create_staff(session, command, now=now)


async def create_staff(session: AsyncSession, command: NewStaff, *, now: datetime) -> StaffCreated:
    """A staff member with a first password and TOTP secret, which only this answer shows.

    Raises:
        InvalidInputError: the duties exclude each other.
        ConflictError: the user name is taken.
    """
    roles = check_roles(command.roles)
    if await queries.lock_by_username(session, command.username) is not None:
        raise ConflictError("the user name is taken")
    password = secrets.token_urlsafe(12)
    secret = security.new_totp_secret()
    account = _new_staff(command, roles, now=now)
    # In a thread: hashing takes tens of milliseconds of CPU.
    account.password_hash = await asyncio.to_thread(PASSWORDS.hash, password)
    account.totp_secret = secret
    session.add(account)
    await session.flush()
    outbox.add(session, account.registered())
    outbox.add(session, account.changed(now))
    audit.record(
        session, "staff.create", object_type="account", object_id=account.id, roles=account.roles
    )
    return StaffCreated(
        id=account.id, username=command.username, initial_password=password, totp_secret=secret
    )


def _new_staff(command: NewStaff, roles: list[StaffRole], *, now: datetime) -> Account:
    """The account without password and TOTP secret."""
    account = Account.new(AccountKind.STAFF, now)
    account.username = command.username
    account.name = command.name
    account.area_code = command.area_code
    account.department_code = command.department_code
    account.roles = roles
    return account


async def change_staff(act: Act[datetime], account_id: UUID, *, command: ChangeStaff) -> Account:
    """Another post. Sessions end, so that no token carries the old one.

    Raises:
        InvalidInputError: the duties exclude each other.
        PreconditionFailedError: the account has changed since it was read.
        ConflictError: the staff member has left.
    """
    roles = check_roles(command.roles)
    account = await queries.lock_staff(act.session, account_id)
    check_version(account.revision, expected=act.expected)
    if not account.active:
        raise ConflictError("has left; create the staff member anew")
    account.area_code = command.area_code
    account.department_code = command.department_code
    account.roles = roles
    outbox.add(act.session, account.changed(act.at))
    audit.record(
        act.session,
        "staff.change",
        object_type="account",
        object_id=account_id,
        roles=account.roles,
    )
    # Tokens carry area, department and roles for up to ten minutes; the feed ends them now.
    _ = await end_sessions(act.session, account_id, reason=EndReason.POST_CHANGED, now=act.at)
    return account


async def depart_staff(
    session: AsyncSession, account_id: UUID, *, reason: str, now: datetime
) -> Account:
    """The staff member leaves the post; every session ends at once.

    Raises:
        ConflictError: has left already.
    """
    account = await queries.lock_staff(session, account_id)
    if not account.active:
        raise ConflictError("has left already")
    # The account stays, because audit rows and cases name it.
    account.active = False
    outbox.add(session, account.changed(now))
    audit.record(
        session, "staff.depart", object_type="account", object_id=account_id, reason=reason
    )
    _ = await end_sessions(session, account_id, reason=EndReason.POST_LEFT, now=now)
    return account
