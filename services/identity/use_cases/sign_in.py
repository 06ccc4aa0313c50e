"""Signing in: persons by SMS code or mini-program, staff by password and TOTP.

A failed attempt is counted in a transaction that ends before the refusal, because a refusal rolls
the transaction of the request back.
"""

import asyncio
from datetime import datetime
from typing import NamedTuple

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import (
    Account,
    AccountKind,
    BindingRequiredError,
    MiniProgramLink,
    SignInMethod,
    SmsPurpose,
)
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
from services.identity.use_cases.locks import advisory_lock
from services.identity.use_cases.sms import account_of_phone, use_code
from shared.database import audit, direct
from shared.database.direct import Direct
from shared.database.session import Database
from shared.errors import ConflictError, TooManyRequestsError
from shared.security.crypto import lookup_hash

# Long enough to wait for a code by SMS and type it.
BINDING_SECONDS = 600
PASSWORDS = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19456, parallelism=1),))
# Verified against when the user is unknown, so that the answer takes the same time.
NOBODY = PASSWORDS.hash("nobody has this password")
# Each verification takes 19 MiB of memory and a thread.
VERIFICATIONS = asyncio.Semaphore(4)


class FailuresRow(NamedTuple):
    failures: int


class Throttled(NamedTuple):
    """Whose failures are counted, as keyed hashes: account, client address, and both as a pair."""

    account: bytes
    address: bytes
    pair: bytes

    @classmethod
    def of(cls, username: str, address: str) -> "Throttled":
        name = username.lower()
        return cls(
            lookup_hash(f"a/{name}", purpose="throttle"),
            lookup_hash(f"i/{address}", purpose="throttle"),
            lookup_hash(f"p/{name}/{address}", purpose="throttle"),
        )


COUNT_FAILURE = Direct(
    """INSERT INTO throttle (subject, failures, blocked_until) VALUES (:subject, 1, :now)
ON CONFLICT (subject) DO UPDATE SET failures = throttle.failures + 1 RETURNING failures""",
    FailuresRow,
)
BLOCK = direct.command("UPDATE throttle SET blocked_until = :until WHERE subject = :subject")
FORGET = direct.command("DELETE FROM throttle WHERE subject = ANY (CAST(:subjects AS bytea[]))")


async def sign_in_by_sms(
    database: Database, command: SmsSignIn, *, settings: Settings, now: datetime
) -> Tokens:
    """Sign in with a code; the first time makes an account of level 1."""
    await use_code(database, command.phone, purpose=SmsPurpose.SIGN_IN, code=command.code, now=now)
    async with database.transaction() as session:
        account = await account_of_phone(session, command.phone, now=now)
        return await open_session(
            session, account, methods=[SignInMethod.SMS], settings=settings, now=now
        )


async def sign_in_by_mini_program(
    database: Database,
    command: MiniProgramSignIn,
    *,
    provider: MiniProgramProvider,
    settings: Settings,
    now: datetime,
) -> Tokens:
    """Sign in from a mini-program.

    Raises:
        UnauthenticatedError: the platform does not know the code.
        BindingRequiredError: no account knows the user, who must bind a phone first.
    """
    ids = await provider.exchange(command.app_id, code=command.code)
    if ids is None:
        raise refused()
    async with database.transaction() as session:
        user = MiniProgramUser.of(command.app_id, openid=ids.openid, unionid=ids.unionid)
        account = await _account_of_user(session, user, now=now)
        if account is not None:
            return await open_session(
                session, account, methods=[SignInMethod.MINI_PROGRAM], settings=settings, now=now
            )
        token = security.binding_token(user, int(now.timestamp()) + BINDING_SECONDS)
    raise BindingRequiredError("no account knows this user yet", extra={"binding_token": token})


async def bind_mini_program(
    database: Database, command: BindMiniProgram, *, settings: Settings, now: datetime
) -> Tokens:
    """Bind a mini-program's user to the account of a phone, and sign in.

    Raises:
        UnauthenticatedError: code or binding token do not hold.
        ConflictError: the user belongs to another account.
    """
    await use_code(database, command.phone, purpose=SmsPurpose.BIND, code=command.code, now=now)
    async with database.transaction() as session:
        user = security.read_binding_token(command.binding_token, now.timestamp())
        if user is None:
            raise refused()
        account = await account_of_phone(session, command.phone, now=now)
        # One person's apps at once: the first to come binds, the others find its account.
        await advisory_lock(session, user.unionid_hash or user.openid_hash)
        bound = await _account_of_user(session, user, now=now)
        if bound is not None and bound.id != account.id:
            raise ConflictError("this user belongs to another account; sign in there")
        if bound is None:
            await _link(session, user, account=account, now=now)
        methods = [SignInMethod.MINI_PROGRAM, SignInMethod.SMS]
        return await open_session(session, account, methods=methods, settings=settings, now=now)


async def _account_of_user(
    session: AsyncSession, user: MiniProgramUser, *, now: datetime
) -> Account | None:
    """The account that knows this user.

    An account known from another mini-program of the same owner is linked to this one too.
    """
    account = await queries.find_by_mini_program(session, user.app_id, openid_hash=user.openid_hash)
    if account is not None or user.unionid_hash is None:
        return account
    account = await queries.find_by_unionid(session, user.unionid_hash)
    if account is not None:
        await _link(session, user, account=account, now=now)
    return account


async def _link(
    session: AsyncSession, user: MiniProgramUser, *, account: Account, now: datetime
) -> None:
    row = insert(MiniProgramLink).values(
        app_id=user.app_id,
        openid_hash=user.openid_hash,
        unionid_hash=user.unionid_hash,
        account_id=account.id,
        created_at=now,
    )
    linked = await session.scalar(row.on_conflict_do_nothing().returning(MiniProgramLink.app_id))
    if linked is not None:
        audit.record(
            session,
            "mini-program.bind",
            object_type="account",
            object_id=account.id,
            app_id=user.app_id,
        )


async def sign_in_by_password(
    database: Database,
    command: PasswordSignIn,
    *,
    address: str,
    settings: Settings,
    now: datetime,
) -> Tokens:
    """Sign in a staff member.

    Failures make account, client address and the pair of both wait, each time twice as long.

    Raises:
        UnauthenticatedError: user name, password or code are wrong.
        TooManyRequestsError: after too many failures, until the pause ends.
    """
    async with database.transaction() as session:
        # Inside: a service's keys are at hand only within a session of its database.
        subjects = Throttled.of(command.username, address)
        # The pause is read under the account's lock, so that guesses sent at once are counted one
        # after the other.
        account = await queries.lock_by_username(session, command.username)
        _check_pause(await queries.find_blocked_until(session, subjects), now)
        if await _proves(account, command, now=now) and account is not None:
            # Failures of the address stay: others may be guessing from it.
            await FORGET.execute(session, subjects=[subjects.account, subjects.pair])
            return await _open_staff_session(session, account, settings=settings, now=now)
        for subject in subjects:
            await _count_failure(session, subject, now=now)
    raise refused()


async def _open_staff_session(
    session: AsyncSession, account: Account, *, settings: Settings, now: datetime
) -> Tokens:
    audit.record(
        session, "session.open", object_type="account", object_id=account.id, amr="pwd otp"
    )
    methods = [SignInMethod.PASSWORD, SignInMethod.TOTP]
    return await open_session(session, account, methods=methods, settings=settings, now=now)


def _check_pause(blocked_until: datetime | None, now: datetime) -> None:
    if blocked_until is not None and blocked_until > now:
        wait = int((blocked_until - now).total_seconds()) + 1
        raise TooManyRequestsError("too many failures; wait", headers={"Retry-After": str(wait)})


async def _count_failure(session: AsyncSession, subject: bytes, *, now: datetime) -> None:
    row = await COUNT_FAILURE.first(session, subject=subject, now=now)
    assert row is not None
    until = now + security.pause_after(row.failures)
    await BLOCK.execute(session, subject=subject, until=until)


async def _proves(account: Account | None, command: PasswordSignIn, *, now: datetime) -> bool:
    """Whether password and code are right; an unknown user costs the same time."""
    stored_hash = NOBODY
    secret = security.new_totp_secret()
    last_step = 0
    is_active = False
    if account is not None:
        is_active = account.kind is AccountKind.STAFF and account.active
        secret = account.totp_secret or secret
        last_step = account.totp_last_step
        if is_active and account.password_hash:
            stored_hash = account.password_hash
    password = command.password.get_secret_value()
    async with VERIFICATIONS:
        is_password = await asyncio.to_thread(PASSWORDS.verify, password, stored_hash)
    step = security.totp_step(
        secret, code=command.totp, moment=now.timestamp(), last_step=last_step
    )
    if account is None or step is None or not is_active or not is_password:
        return False
    # Stored, so that a code that somebody watched cannot be used a second time (RFC 6238 §5.2).
    account.totp_last_step = step
    return True
