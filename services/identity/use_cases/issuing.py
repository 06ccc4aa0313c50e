"""Opening sessions and signing their tokens."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import Account, Mandate, SignIn, SignInMethod
from services.identity.schemas import Tokens
from services.identity.settings import Settings
from services.identity.use_cases.keys import ensure_keys
from shared.errors import UnauthenticatedError
from shared.ids import new_id
from shared.security.tokens import AUDIENCE, sign_access_token

ISSUER = "tongban"


def refused() -> UnauthenticatedError:
    """One text for every reason, so that nobody learns which part was right."""
    return UnauthenticatedError(
        "the details do not fit, or have expired", headers={"WWW-Authenticate": "Bearer"}
    )


async def open_session(
    session: AsyncSession,
    account: Account,
    *,
    methods: Sequence[SignInMethod],
    settings: Settings,
    now: datetime,
) -> Tokens:
    """A new session of an account that has just proved itself by `methods`."""
    opened = SignIn(
        id=new_id(),
        account_id=account.id,
        amr=list(methods),
        signed_in_at=now,
        generation=1,
        rotated_at=now,
        expires_at=now + timedelta(seconds=settings.refresh_token_seconds),
        revoked=False,
    )
    session.add(opened)
    await session.flush()
    return await issue_tokens(session, account, opened=opened, settings=settings, now=now)


async def open_acting_session(
    session: AsyncSession,
    person: Account,
    *,
    parent_id: UUID,
    principal_id: UUID,
    settings: Settings,
    now: datetime,
    mandate: Mandate | None = None,
) -> Tokens:
    """A session in which the person acts for another.

    It ends with the session it is opened from, and with its mandate.

    Raises:
        UnauthenticatedError: the session it is opened from has ended, or is another person's.
    """
    # Locked: if it ends at this moment, either it is seen here or it ends the new one too.
    parent = await queries.lock_session(session, parent_id)
    if parent is None or parent.account_id != person.id or not _is_open(parent, now):
        raise refused()
    opened = SignIn(
        id=new_id(),
        account_id=person.id,
        principal_id=principal_id,
        parent_id=parent.id,
        # As the person proved itself: acting for another is no new sign-in.
        amr=parent.amr,
        signed_in_at=parent.signed_in_at,
        generation=1,
        rotated_at=now,
        expires_at=parent.expires_at,
        revoked=False,
    )
    if mandate is not None:
        opened.mandate_id = mandate.id
        opened.expires_at = min(parent.expires_at, mandate.ends_at())
    session.add(opened)
    await session.flush()
    return await issue_tokens(session, person, opened=opened, settings=settings, now=now)


def _is_open(sign_in: SignIn, now: datetime) -> bool:
    return not sign_in.revoked and sign_in.expires_at > now


async def issue_tokens(
    session: AsyncSession, account: Account, *, opened: SignIn, settings: Settings, now: datetime
) -> Tokens:
    """The tokens of a session's present generation.

    When the person acts for another, that one is the subject and the person is `act`.
    """
    # No access token outlives its session.
    remaining = int((opened.expires_at - now).total_seconds())
    seconds = min(settings.access_token_seconds, max(0, remaining))
    claims: dict[str, object] = {
        "sid": str(opened.id),
        "acr": str(account.level),
        "amr": account.amr(opened.amr),
        "auth_time": int(opened.signed_in_at.timestamp()),
        "roles": account.roles or None,
    }
    claims.update(await _acting_claims(session, account, opened=opened))
    access_token = await sign(session, account, claims=claims, seconds=seconds, now=now)
    return Tokens(
        access_token=access_token,
        expires_in=seconds,
        refresh_token=security.refresh_token(opened.id, opened.generation),
        refresh_expires_in=remaining,
    )


async def _acting_claims(
    session: AsyncSession, account: Account, *, opened: SignIn
) -> dict[str, object]:
    """What is different in a session in which the person acts for another."""
    claims: dict[str, object] = {}
    if opened.principal_id is not None:
        principal = await queries.get_account(session, opened.principal_id)
        claims["sub"] = str(principal.id)
        claims["kind"] = principal.kind
        claims["act"] = {"sub": str(account.id)}
    # Services check the mandate's matters themselves.
    if opened.mandate_id is not None:
        mandate = await queries.get_mandate(session, opened.mandate_id)
        claims["mandate"] = str(mandate.id)
        if mandate.matters is not None:
            claims["matters"] = [str(matter_id) for matter_id in mandate.matters]
    return claims


async def sign(
    session: AsyncSession,
    account: Account,
    *,
    claims: dict[str, object],
    seconds: int,
    now: datetime,
) -> str:
    """An access token of the account that lives for `seconds`; `claims` replace common ones."""
    key = await ensure_keys(session, now)
    issued = int(now.timestamp())
    common: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(account.id),
        "kind": account.kind,
        "iat": issued,
        "exp": issued + seconds,
        "jti": str(new_id()),
        "area": account.area_code,
        "department": account.department_code,
    }
    # Services read an absent claim as none; null would need a case of its own in each.
    present = {name: value for name, value in (common | claims).items() if value is not None}
    return sign_access_token(
        OKPKey.import_key(orjson.loads(key.private_key)), key.kid, claims=present
    )
