"""Bureaus' systems: registered with their key, signed in by it, withdrawn for good."""

import base64
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries
from services.identity.model import Account, Revocation, UsedAssertion
from services.identity.schemas import NewSystem, SystemTokens
from services.identity.settings import Settings
from services.identity.use_cases.issuing import refused, sign
from services.identity.use_cases.sessions import revoke
from shared.database import audit
from shared.errors import ConflictError, FieldError, InvalidInputError, NotFoundError
from shared.ids import new_id
from shared.messaging import outbox


async def register_system(session: AsyncSession, command: NewSystem, now: datetime) -> UUID:
    """A bureau's system with its public key and scopes."""
    key = command.public_key
    if (key.get("kty"), key.get("crv")) != ("OKP", "Ed25519") or len(key.get("x", "")) != 43:
        raise InvalidInputError(
            "the key cannot be used", [FieldError("public_key", "ed25519", "send an Ed25519 JWK")]
        )
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


async def withdraw_system(
    session: AsyncSession, account_id: UUID, reason: str, now: datetime
) -> None:
    """A system that shall act no more: its tokens are refused within seconds, new ones at once."""
    account = await queries.get_account(session, account_id, lock=True)
    if account.kind != "system":
        raise NotFoundError("no such system")
    if not account.active:
        raise ConflictError("is withdrawn already")
    account.active = False
    await revoke(session, [Revocation(subject=account_id, at=now)])
    outbox.add(session, account.sessions_revoked([], "withdrawn", now))
    audit.record(session, "system.withdraw", "account", account_id, reason=reason)


async def sign_in_system(
    session: AsyncSession,
    assertion: str,
    scope: str,
    token_url: str,
    settings: Settings,
    now: datetime,
) -> SystemTokens:
    """A bureau's system proves itself by an assertion signed with its key (private_key_jwt, RFC 7523), used once."""
    account = await _client_of(session, assertion, token_url, now)
    wanted = scope.split() or account.scopes
    if not set(wanted) <= set(account.scopes):
        raise refused()
    granted = " ".join(sorted(wanted))
    claims = {"acr": "1", "scope": granted, "client_id": str(account.id), "sid": str(new_id())}
    token = await sign(session, account, claims, settings.access_token_seconds, now)
    audit.record(session, "system.sign-in", "account", account.id, scope=granted)
    return SystemTokens(access_token=token, expires_in=settings.access_token_seconds, scope=granted)


async def _client_of(
    session: AsyncSession, assertion: str, token_url: str, now: datetime
) -> Account:
    try:
        claimed = UUID(str(orjson.loads(_unverified(assertion))["sub"]))
        account = await session.get(Account, claimed)
        if (
            account is None
            or account.kind != "system"
            or not account.active
            or account.public_key is None
        ):
            raise refused()
        claims = jwt.decode(
            assertion, OKPKey.import_key(account.public_key), algorithms=["Ed25519"]
        ).claims
        expires = datetime.fromtimestamp(int(claims["exp"]), now.tzinfo)
        fits = claims["iss"] == claims["sub"] == str(account.id) and claims["aud"] == token_url
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise refused() from error
    if not fits or not now < expires <= now + timedelta(minutes=5):
        raise refused()
    use = insert(UsedAssertion).values(
        jti=f"{account.id}/{claims.get('jti')}"[:300], expires_at=expires
    )
    used = await session.execute(use.on_conflict_do_nothing().returning(UsedAssertion.jti))
    if used.one_or_none() is None or not claims.get("jti"):
        raise refused()
    return account


def _unverified(token: str) -> bytes:
    part = token.split(".")[1] if token.count(".") == 2 else ""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
