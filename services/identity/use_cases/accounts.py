"""Accounts: real names, staff and their posts, bureaus' systems."""

import asyncio
import secrets
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import Account, check_roles
from services.identity.providers import RealNameProvider
from services.identity.schemas import ChangeStaff, NewStaff, NewSystem, StaffCreated, VerifyIdentity
from services.identity.use_cases.sessions import PASSWORDS, end_all_sessions
from shared import audit, clock, outbox
from shared.crypto import lookup_hash
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.etags import check_version


async def verify_identity(
    session: AsyncSession, account_id: UUID, command: VerifyIdentity, provider: RealNameProvider, now: datetime
) -> int:
    """Raise a person's account to level 2. A number that another account holds is refused: one person, one account."""
    account = await queries.get_account(session, account_id, lock=True)
    id_number_hash = lookup_hash(command.id_number, "id_number")
    holder = await queries.find_by_id_number(session, id_number_hash)
    if holder is not None and holder.id != account.id:
        raise ConflictError(
            "this person has an account already; sign in with its phone, or ask at a counter to join them"
        )
    if account.level >= 2:
        raise ConflictError("the real name is verified already")
    if not await provider.verify(command.name, command.id_number, command.id_valid_until, clock.local_date(now)):
        fault = FieldError("id_number", "real_name", "name, number and validity do not belong together")
        raise InvalidInputError("the identity could not be verified", [fault])
    outbox.add(session, account.verify(command.name, command.id_number, id_number_hash, now))
    audit.record(session, "identity.verify", "account", account_id, level=2)
    return account.level


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
    return StaffCreated(id=account.id, username=command.username, initial_password=password, totp_secret=secret)


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
    await end_all_sessions(session, account_id, "post changed", now)
    return account


async def depart_staff(session: AsyncSession, account_id: UUID, reason: str, now: datetime) -> Account:
    """Leaving a post ends every session at once."""
    account = await queries.get_staff(session, account_id)
    if not account.active:
        raise ConflictError("has left already")
    account.active = False
    outbox.add(session, account.changed(now))
    audit.record(session, "staff.depart", "account", account_id, reason=reason)
    await end_all_sessions(session, account_id, "left the post", now)
    return account


async def register_system(session: AsyncSession, command: NewSystem, now: datetime) -> UUID:
    """A bureau's system with its public key and scopes."""
    key = command.public_key
    if (key.get("kty"), key.get("crv")) != ("OKP", "Ed25519") or len(key.get("x", "")) != 43:
        raise InvalidInputError("the key cannot be used", [FieldError("public_key", "ed25519", "send an Ed25519 JWK")])
    account, fact = Account.new(
        "system",
        now,
        name=command.name,
        area_code=command.area_code,
        department_code=command.department_code,
        scopes=sorted(set(command.scopes)),
        public_key={"kty": "OKP", "crv": "Ed25519", "x": key["x"]},
    )
    session.add(account)
    await session.flush()
    outbox.add(session, fact)
    audit.record(session, "system.register", "account", account.id, scopes=account.scopes)
    return account.id
