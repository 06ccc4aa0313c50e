"""Sign-in, sessions and tokens.

A failed attempt is counted in a transaction of its own before the refusal, because the refusal undoes the request's. A
refresh token is used once: the row lock on its session makes parallel refreshes take turns, those that lost get the same
successor for a short grace, and any later use of an old token ends the whole family.
"""

import asyncio
import base64
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import Account, Revocation, SignIn, SmsCode, SmsMessage, UsedAssertion
from services.identity.schemas import AskSmsCode, PasswordSignIn, SmsSignIn, SystemTokens, Tokens
from services.identity.settings import Settings
from services.identity.use_cases.keys import ensure_keys
from shared import audit, outbox
from shared.crypto import lookup_hash
from shared.db import Database
from shared.errors import TooManyRequestsError, UnauthenticatedError
from shared.ids import new_id
from shared.tokens import AUDIENCE, sign_access_token

ISSUER = "tongban"
MAX_TRIES = 5
CODES_A_DAY = 10
CODES_AN_ADDRESS_AN_HOUR = 60
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


def refused() -> UnauthenticatedError:
    """One wording for every reason."""
    return UnauthenticatedError("the details do not fit, or have expired", headers={"WWW-Authenticate": "Bearer"})


async def send_sms_code(
    session: AsyncSession, command: AskSmsCode, address: str, settings: Settings, now: datetime
) -> int:
    """Send a code; seconds until it expires. Budgets: one a minute and ten a day per number, sixty an hour per address."""
    phone_hash = lookup_hash(command.phone, "phone")
    _ = await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int.from_bytes(phone_hash[:7])})
    minute, day, hour = await queries.count_codes(session, phone_hash, address, now)
    if minute or day >= CODES_A_DAY or hour >= CODES_AN_ADDRESS_AN_HOUR:
        wait = 60 if minute and day < CODES_A_DAY else 3600
        raise TooManyRequestsError("wait before asking for another code", headers={"Retry-After": str(wait)})
    code = security.new_sms_code()
    row = SmsCode(
        id=new_id(),
        phone_hash=phone_hash,
        purpose=command.purpose,
        code_hash=security.sms_code_hash(command.phone, command.purpose, code),
        address=address,
        tries=0,
        used=False,
        created_at=now,
        expires_at=now + timedelta(seconds=settings.sms_code_seconds),
    )
    session.add(row)
    # The development sender; an operator's gateway takes this place in production.
    session.add(SmsMessage(id=new_id(), phone_hash=phone_hash, text=f"您的验证码是 {code}", sent_at=now))
    return settings.sms_code_seconds


async def sign_in_by_sms(database: Database, command: SmsSignIn, settings: Settings, now: datetime) -> Tokens:
    """Sign in with a code; the first time makes an account of level 1."""
    async with database.transaction() as session:
        good = await _use_code(session, command, now)
    if not good:
        raise refused()
    async with database.transaction() as session:
        phone_hash = lookup_hash(command.phone, "phone")
        _ = await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int.from_bytes(phone_hash[:7])})
        account = await queries.find_by_phone(session, phone_hash)
        if account is None:
            account, fact = Account.new("person", now, phone=command.phone, phone_hash=phone_hash)
            session.add(account)
            outbox.add(session, fact)
            audit.record(session, "account.register", "account", account.id)
            await session.flush()
        return await _open_session(session, account, ["sms"], settings, now)


async def _use_code(session: AsyncSession, command: SmsSignIn, now: datetime) -> bool:
    phone_hash = lookup_hash(command.phone, "phone")
    code = await queries.find_newest_code(session, phone_hash, "sign_in")
    if code is None or code.used or code.tries >= MAX_TRIES or code.expires_at <= now:
        return False
    code.tries += 1
    code.used = code.code_hash == security.sms_code_hash(command.phone, "sign_in", command.code)
    return code.used


async def sign_in_by_password(
    database: Database, command: PasswordSignIn, address: str, settings: Settings, now: datetime
) -> Tokens:
    """Staff: password and TOTP. Failures make account, address and the pair of both wait, each doubling."""
    name = command.username.lower()
    async with database.transaction() as session:
        subjects = [lookup_hash(part, "throttle") for part in (f"a/{name}", f"i/{address}", f"p/{name}/{address}")]
        blocked = await queries.find_blocked_until(session, subjects)
        if blocked is not None and blocked > now:
            wait = int((blocked - now).total_seconds()) + 1
            raise TooManyRequestsError("too many failures; wait", headers={"Retry-After": str(wait)})
    async with database.transaction() as session:
        account = await queries.find_by_username(session, command.username)
        if await _proves(account, command, now) and account is not None:
            _ = await session.execute(FORGET, {"subjects": [subjects[0], subjects[2]]})
            audit.record(session, "session.open", "account", account.id, amr="pwd otp")
            return await _open_session(session, account, ["pwd", "otp"], settings, now)
        for subject in subjects:
            failures = await session.scalar(COUNT_FAILURE, {"subject": subject, "now": now})
            until = now + security.pause_after(failures or 1)
            _ = await session.execute(BLOCK, {"subject": subject, "until": until})
    raise refused()


async def _proves(account: Account | None, command: PasswordSignIn, now: datetime) -> bool:
    """Whether password and code are right; an unknown user costs the same."""
    known = account is not None and account.kind == "staff" and account.active
    stored = account.password_hash if account is not None and known and account.password_hash else NOBODY
    async with AT_ONCE:
        right = await asyncio.to_thread(PASSWORDS.verify, command.password.get_secret_value(), stored)
    secret = account.totp_secret if account is not None and account.totp_secret else security.new_totp_secret()
    last = account.totp_last_step if account is not None else 0
    step = security.totp_step(secret, command.totp, now.timestamp(), last)
    if not (known and right and step is not None) or account is None:
        return False
    account.totp_last_step = step
    return True


async def _open_session(
    session: AsyncSession, account: Account, amr: list[str], settings: Settings, now: datetime
) -> Tokens:
    opened = SignIn(
        id=new_id(),
        account_id=account.id,
        amr=amr,
        signed_in_at=now,
        generation=1,
        rotated_at=now,
        expires_at=now + timedelta(seconds=settings.refresh_token_seconds),
        revoked=False,
    )
    session.add(opened)
    await session.flush()
    return await _tokens(session, account, opened, settings, now)


async def _tokens(session: AsyncSession, account: Account, opened: SignIn, settings: Settings, now: datetime) -> Tokens:
    claims = {
        "sid": str(opened.id),
        "acr": str(account.level),
        "amr": opened.amr,
        "auth_time": int(opened.signed_in_at.timestamp()),
        "roles": account.roles or None,
    }
    return Tokens(
        access_token=await _sign(session, account, claims, settings, now),
        expires_in=settings.access_token_seconds,
        refresh_token=security.refresh_token(opened.id, opened.generation),
        refresh_expires_in=int((opened.expires_at - now).total_seconds()),
    )


async def _sign(
    session: AsyncSession, account: Account, claims: dict[str, Any], settings: Settings, now: datetime
) -> str:
    key = await ensure_keys(session, now)
    issued = int(now.timestamp())
    common = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(account.id),
        "kind": account.kind,
        "iat": issued,
        "exp": issued + settings.access_token_seconds,
        "jti": str(new_id()),
        "area": account.area_code,
        "department": account.department_code,
    }
    whole = {name: value for name, value in {**common, **claims}.items() if value is not None}
    return sign_access_token(OKPKey.import_key(orjson.loads(key.private_key)), key.kid, whole)


async def refresh_session(database: Database, token: str, settings: Settings, now: datetime) -> Tokens:
    """The next pair. The token before the current one gets the same successor within the grace; later it ends the family."""
    async with database.transaction() as session:
        claimed = security.read_refresh_token(token)
        opened = await queries.find_session(session, claimed[0]) if claimed else None
        if claimed is None or opened is None or opened.revoked or opened.expires_at <= now:
            raise refused()
        account = await queries.get_account(session, opened.account_id)
        generation = claimed[1]
        in_grace = now - opened.rotated_at <= timedelta(seconds=settings.refresh_grace_seconds)
        if generation == opened.generation and account.active:
            opened.generation, opened.rotated_at = opened.generation + 1, now
            return await _tokens(session, account, opened, settings, now)
        if generation == opened.generation - 1 and in_grace and account.active:
            return await _tokens(session, account, opened, settings, now)
        await _revoke(session, account.id, [opened], "refresh token used again", now)
    raise refused()


async def end_session(session: AsyncSession, account_id: UUID, session_id: UUID, now: datetime) -> bool:
    """Sign out one of the account's own sessions; False when there is none such."""
    opened = await queries.find_session(session, session_id)
    if opened is None or opened.account_id != account_id or opened.revoked:
        return False
    await _revoke(session, account_id, [opened], "signed out", now)
    return True


async def end_all_sessions(session: AsyncSession, account_id: UUID, reason: str, now: datetime) -> None:
    """End every session of an account at once."""
    await _revoke(session, account_id, list(await queries.list_sessions(session, account_id, now)), reason, now)


async def _revoke(session: AsyncSession, account_id: UUID, sessions: list[SignIn], reason: str, now: datetime) -> None:
    for opened in sessions:
        opened.revoked = True
        session.add(Revocation(session_id=opened.id, at=now))
    if sessions:
        account = await queries.get_account(session, account_id, lock=True)
        outbox.add(session, account.sessions_revoked([opened.id for opened in sessions], reason, now))
        audit.record(session, "session.revoke", "account", account_id, reason=reason, sessions=len(sessions))


async def sign_in_system(
    session: AsyncSession, assertion: str, scope: str, token_url: str, settings: Settings, now: datetime
) -> SystemTokens:
    """A bureau's system proves itself by an assertion signed with its key (private_key_jwt, RFC 7523), used once."""
    account = await _client_of(session, assertion, token_url, now)
    wanted = scope.split() or account.scopes
    if not set(wanted) <= set(account.scopes):
        raise refused()
    granted = " ".join(sorted(wanted))
    claims = {"acr": "1", "scope": granted, "client_id": str(account.id), "sid": str(new_id())}
    token = await _sign(session, account, claims, settings, now)
    audit.record(session, "system.sign-in", "account", account.id, scope=granted)
    return SystemTokens(access_token=token, expires_in=settings.access_token_seconds, scope=granted)


async def _client_of(session: AsyncSession, assertion: str, token_url: str, now: datetime) -> Account:
    try:
        claimed = UUID(str(orjson.loads(_unverified(assertion))["sub"]))
        account = await session.get(Account, claimed)
        if account is None or account.kind != "system" or not account.active or account.public_key is None:
            raise refused()
        claims = jwt.decode(assertion, OKPKey.import_key(account.public_key), algorithms=["Ed25519"]).claims
        expires = datetime.fromtimestamp(int(claims["exp"]), now.tzinfo)
        fits = claims["iss"] == claims["sub"] == str(account.id) and claims["aud"] == token_url
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise refused() from error
    if not fits or not now < expires <= now + timedelta(minutes=5):
        raise refused()
    use = insert(UsedAssertion).values(jti=f"{account.id}/{claims.get('jti')}"[:300], expires_at=expires)
    used = await session.execute(use.on_conflict_do_nothing().returning(UsedAssertion.jti))
    if used.one_or_none() is None or not claims.get("jti"):
        raise refused()
    return account


def _unverified(token: str) -> bytes:
    part = token.split(".")[1] if token.count(".") == 2 else ""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
