"""Bureaus' systems: registered with their key, signed in by it, withdrawn for good."""

import base64
from datetime import datetime, timedelta
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from pydantic import BaseModel, ConfigDict
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries
from services.identity.model import (
    Account,
    AccountKind,
    EndReason,
    Revocation,
    SystemKey,
    UsedAssertion,
)
from services.identity.schemas import NewSystem, SystemTokens
from services.identity.settings import Settings
from services.identity.use_cases.issuing import refused, sign
from services.identity.use_cases.sessions import revoke
from shared.database import audit
from shared.errors import ConflictError, FieldError, InvalidInputError, NotFoundError
from shared.ids import new_id
from shared.messaging import outbox

KEY_CHARACTERS = 43
"""32 bytes in base64url."""
# Used assertions are kept until they expire, so a long life would fill the table.
LONGEST_ASSERTION = timedelta(minutes=5)
LONGEST_JTI = 300


async def register_system(session: AsyncSession, command: NewSystem, *, now: datetime) -> UUID:
    """Register a bureau's system with its public key and scopes; its client id.

    Raises:
        InvalidInputError: the key is no Ed25519 key.
    """
    account = Account.new(AccountKind.SYSTEM, now)
    account.name = command.name
    account.area_code = command.area_code
    account.department_code = command.department_code
    account.scopes = sorted(set(command.scopes))
    account.public_key = _checked_key(command)
    session.add(account)
    await session.flush()
    outbox.add(session, account.registered())
    audit.record(
        session,
        "system.register",
        object_type="account",
        object_id=account.id,
        scopes=account.scopes,
    )
    return account.id


def _checked_key(command: NewSystem) -> SystemKey:
    key = command.public_key
    x = key.get("x", "")
    is_ed25519 = key.get("kty") == "OKP" and key.get("crv") == "Ed25519"
    if not is_ed25519 or len(x) != KEY_CHARACTERS:
        raise InvalidInputError(
            "the key cannot be used",
            [FieldError("public_key", "ed25519", message="send an Ed25519 JWK")],
        )
    return SystemKey(x=x)


async def withdraw_system(
    session: AsyncSession, account_id: UUID, *, reason: str, now: datetime
) -> None:
    """Withdraw a system: its tokens are refused within seconds, new ones at once.

    Raises:
        NotFoundError: there is no such system.
        ConflictError: it is withdrawn already.
    """
    account = await queries.get_account(session, account_id, lock=True)
    if account.kind is not AccountKind.SYSTEM:
        raise NotFoundError("no such system")
    if not account.active:
        raise ConflictError("is withdrawn already")
    account.active = False
    # The feed names the subject, because systems have no sessions.
    await revoke(session, [Revocation(subject=account_id, at=now)])
    event = account.sessions_revoked([], reason=EndReason.SYSTEM_WITHDRAWN, now=now)
    outbox.add(session, event)
    audit.record(
        session, "system.withdraw", object_type="account", object_id=account_id, reason=reason
    )


async def sign_in_system(
    session: AsyncSession,
    assertion: str,
    *,
    scope: str,
    token_url: str,
    settings: Settings,
    now: datetime,
) -> SystemTokens:
    """Sign in a system by an assertion signed with its key (private_key_jwt, RFC 7523).

    Each assertion is used once. Without `scope` the token has all scopes of the system.

    Raises:
        UnauthenticatedError: the assertion is not valid, or the scope is not granted.
    """
    account = await _verify_assertion(session, assertion, token_url=token_url, now=now)
    wanted = scope.split() or list(account.scopes)
    if not set(wanted) <= set(account.scopes):
        raise refused()
    granted = " ".join(sorted(wanted))
    claims: dict[str, object] = {
        "acr": "1",
        "scope": granted,
        "client_id": str(account.id),
        "sid": str(new_id()),
    }
    seconds = settings.access_token_seconds
    token = await sign(session, account, claims=claims, seconds=seconds, now=now)
    audit.record(
        session, "system.sign-in", object_type="account", object_id=account.id, scope=granted
    )
    return SystemTokens(access_token=token, expires_in=seconds, scope=granted)


class ClaimedSubject(BaseModel):
    """The part of an assertion that says whose key to check it with."""

    sub: UUID


class AssertionClaims(BaseModel):
    """What a system states in its assertion; `exp` in epoch seconds."""

    model_config = ConfigDict(extra="ignore")

    iss: str
    sub: str
    aud: str
    exp: float
    jti: str | int = ""


async def _verify_assertion(
    session: AsyncSession, assertion: str, *, token_url: str, now: datetime
) -> Account:
    try:
        # Read before it is verified, only to find the key that verifies it.
        claimed = ClaimedSubject.model_validate_json(_unverified_payload(assertion))
        account = await queries.find_account(session, claimed.sub)
        key = _key_of(account)
        if account is None or key is None:
            raise refused()
        public = OKPKey.import_key({"kty": key.kty, "crv": key.crv, "x": key.x})
        # The algorithm is fixed: a header must not choose another.
        verified = jwt.decode(assertion, public, algorithms=["Ed25519"])
        claims = AssertionClaims.model_validate(verified.claims)
        expires = datetime.fromtimestamp(int(claims.exp), now.tzinfo)
    # Pydantic's ValidationError is a ValueError too.
    except (JoseError, ValueError, OverflowError) as error:
        raise refused() from error
    is_own = claims.iss == claims.sub == str(account.id) and claims.aud == token_url
    if not is_own or not claims.jti or not now < expires <= now + LONGEST_ASSERTION:
        raise refused()
    await _use_up(session, account, jti=claims.jti, expires=expires)
    return account


async def _use_up(
    session: AsyncSession, account: Account, *, jti: str | int, expires: datetime
) -> None:
    """Note that the assertion was used; raises `UnauthenticatedError` if it was before."""
    # The unique key refuses an assertion that is used again, also at the same moment.
    use = insert(UsedAssertion).values(jti=f"{account.id}/{jti}"[:LONGEST_JTI], expires_at=expires)
    is_first = await session.scalar(use.on_conflict_do_nothing().returning(UsedAssertion.jti))
    if is_first is None:
        raise refused()


def _key_of(account: Account | None) -> SystemKey | None:
    """The key of a system that may sign in."""
    if account is None or account.kind is not AccountKind.SYSTEM or not account.active:
        return None
    return account.public_key


def _unverified_payload(token: str) -> bytes:
    parts = token.split(".")
    if len(parts) != 3:
        return b""
    payload = parts[1]
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
