"""Signing in: persons by SMS code or mini-program, staff by password and TOTP.

A failed attempt is counted in a transaction that ends before the refusal, because the refusal undoes the request's.
"""

import asyncio
from datetime import datetime

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import Account, BindingRequiredError, MiniProgramLink
from services.identity.providers import MiniProgramProvider
from services.identity.schemas import (
    BindMiniProgram,
    MiniProgramSignIn,
    PasswordSignIn,
    SmsSignIn,
    Tokens,
)
from services.identity.security import MiniProgramUser
from services.identity.settings import Settings
from services.identity.use_cases.issuing import open_session, refused
from services.identity.use_cases.sms import account_of_phone, alone, use_code
from shared.database import audit
from shared.database.session import Database
from shared.errors import ConflictError, TooManyRequestsError
from shared.security.crypto import lookup_hash

BINDING_SECONDS = 600
PASSWORDS = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19456, parallelism=1),))
# Verified against when the user is unknown, so that the answer takes the same time.
NOBODY = PASSWORDS.hash("nobody has this password")
AT_ONCE = asyncio.Semaphore(4)
COUNT_FAILURE = text(
    "INSERT INTO throttle (subject, failures, blocked_until) VALUES (:subject, 1, :now)"
    " ON CONFLICT (subject) DO UPDATE SET failures = throttle.failures + 1 RETURNING failures"
)
BLOCK = text("UPDATE throttle SET blocked_until = :until WHERE subject = :subject")
FORGET = text("DELETE FROM throttle WHERE subject = ANY (CAST(:subjects AS bytea[]))")


async def sign_in_by_sms(
    database: Database, command: SmsSignIn, settings: Settings, now: datetime
) -> Tokens:
    """Sign in with a code; the first time makes an account of level 1."""
    await use_code(database, command.phone, "sign_in", command.code, now)
    async with database.transaction() as session:
        account = await account_of_phone(session, command.phone, now)
        return await open_session(session, account, ["sms"], settings, now)


async def sign_in_by_mini_program(
    database: Database,
    command: MiniProgramSignIn,
    provider: MiniProgramProvider,
    settings: Settings,
    now: datetime,
) -> Tokens:
    """Sign in from a mini-program. A user whom no account knows is told to bind a phone first."""
    ids = await provider.exchange(command.app_id, command.code)
    if ids is None:
        raise refused()
    async with database.transaction() as session:
        user = MiniProgramUser.of(command.app_id, ids.openid, ids.unionid)
        account = await _account_of_user(session, user, now)
        if account is not None:
            return await open_session(session, account, ["mini_program"], settings, now)
        token = security.binding_token(user, int(now.timestamp()) + BINDING_SECONDS)
    raise BindingRequiredError("no account knows this user yet", extra={"binding_token": token})


async def bind_mini_program(
    database: Database, command: BindMiniProgram, settings: Settings, now: datetime
) -> Tokens:
    """Join a mini-program's user to the account of a phone, proved by a code sent for this purpose, and sign in."""
    await use_code(database, command.phone, "bind", command.code, now)
    async with database.transaction() as session:
        user = security.read_binding_token(command.binding_token, now.timestamp())
        if user is None:
            raise refused()
        account = await account_of_phone(session, command.phone, now)
        # One person's apps at once: the first to come binds, the others find its account.
        await alone(session, user.unionid_hash or user.openid_hash)
        bound = await _account_of_user(session, user, now)
        if bound is not None and bound.id != account.id:
            raise ConflictError("this user belongs to another account; sign in there")
        if bound is None:
            await _link(session, user, account, now)
        return await open_session(session, account, ["mini_program", "sms"], settings, now)


async def _account_of_user(
    session: AsyncSession, user: MiniProgramUser, now: datetime
) -> Account | None:
    """The account that knows this user, also from another mini-program of the same owner (then this one is linked too)."""
    account = await queries.find_by_mini_program(session, user.app_id, user.openid_hash)
    if account is None and user.unionid_hash is not None:
        account = await queries.find_by_unionid(session, user.unionid_hash)
        if account is not None:
            await _link(session, user, account, now)
    return account


async def _link(
    session: AsyncSession, user: MiniProgramUser, account: Account, now: datetime
) -> None:
    row = insert(MiniProgramLink).values(**user._asdict(), account_id=account.id, created_at=now)
    linked = await session.execute(row.on_conflict_do_nothing().returning(MiniProgramLink.app_id))
    if linked.one_or_none() is not None:
        audit.record(session, "mini-program.bind", "account", account.id, app_id=user.app_id)


async def sign_in_by_password(
    database: Database, command: PasswordSignIn, address: str, settings: Settings, now: datetime
) -> Tokens:
    """Staff: password and TOTP. Failures make account, address and the pair of both wait, each doubling."""
    name = command.username.lower()
    async with database.transaction() as session:
        subjects = [
            lookup_hash(part, "throttle")
            for part in (f"a/{name}", f"i/{address}", f"p/{name}/{address}")
        ]
        # Read under the account's lock, so that guesses sent at once are counted one after the other.
        account = await queries.find_by_username(session, command.username)
        blocked = await queries.find_blocked_until(session, subjects)
        if blocked is not None and blocked > now:
            wait = int((blocked - now).total_seconds()) + 1
            raise TooManyRequestsError(
                "too many failures; wait", headers={"Retry-After": str(wait)}
            )
        if await _proves(account, command, now) and account is not None:
            _ = await session.execute(FORGET, {"subjects": [subjects[0], subjects[2]]})
            audit.record(session, "session.open", "account", account.id, amr="pwd otp")
            return await open_session(session, account, ["pwd", "otp"], settings, now)
        for subject in subjects:
            failures = await session.scalar(COUNT_FAILURE, {"subject": subject, "now": now})
            until = now + security.pause_after(failures or 1)
            _ = await session.execute(BLOCK, {"subject": subject, "until": until})
    raise refused()


async def _proves(account: Account | None, command: PasswordSignIn, now: datetime) -> bool:
    """Whether password and code are right; an unknown user costs the same."""
    known = account is not None and account.kind == "staff" and account.active
    stored = (
        account.password_hash if account is not None and known and account.password_hash else NOBODY
    )
    async with AT_ONCE:
        right = await asyncio.to_thread(
            PASSWORDS.verify, command.password.get_secret_value(), stored
        )
    secret = (
        account.totp_secret
        if account is not None and account.totp_secret
        else security.new_totp_secret()
    )
    last = account.totp_last_step if account is not None else 0
    step = security.totp_step(secret, command.totp, now.timestamp(), last)
    if not (known and right and step is not None) or account is None:
        return False
    account.totp_last_step = step
    return True
