"""Opening a session and signing its tokens."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import Account, Mandate, SignIn
from services.identity.schemas import Tokens
from services.identity.settings import Settings
from services.identity.use_cases.keys import ensure_keys
from shared.errors import UnauthenticatedError
from shared.ids import new_id
from shared.security.tokens import AUDIENCE, sign_access_token

ISSUER = "tongban"


def refused() -> UnauthenticatedError:
    """One wording for every reason."""
    return UnauthenticatedError(
        "the details do not fit, or have expired", headers={"WWW-Authenticate": "Bearer"}
    )


async def open_session(
    session: AsyncSession, account: Account, amr: list[str], settings: Settings, now: datetime
) -> Tokens:
    """A new session of an account that has just proved itself."""
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
    return await issue_tokens(session, account, opened, settings, now)


async def open_acting_session(
    session: AsyncSession,
    person: Account,
    parent_id: UUID,
    principal_id: UUID,
    settings: Settings,
    now: datetime,
    *,
    mandate: Mandate | None = None,
) -> Tokens:
    """A session in which the person acts for another. It ends with the one it comes from, and with its mandate."""
    parent = await queries.find_session(session, parent_id)
    if (
        parent is None
        or parent.revoked
        or parent.expires_at <= now
        or parent.account_id != person.id
    ):
        raise refused()
    opened = SignIn(
        id=new_id(),
        account_id=person.id,
        principal_id=principal_id,
        mandate_id=mandate and mandate.id,
        parent_id=parent.id,
        amr=parent.amr,
        signed_in_at=parent.signed_in_at,
        generation=1,
        rotated_at=now,
        expires_at=min(parent.expires_at, mandate.ends_at()) if mandate else parent.expires_at,
        revoked=False,
    )
    session.add(opened)
    await session.flush()
    return await issue_tokens(session, person, opened, settings, now)


async def issue_tokens(
    session: AsyncSession, account: Account, opened: SignIn, settings: Settings, now: datetime
) -> Tokens:
    """The tokens of a session's present generation. Acting for another, that one is the subject and the person is `act`."""
    seconds = min(
        settings.access_token_seconds, max(0, int((opened.expires_at - now).total_seconds()))
    )
    claims: dict[str, Any] = {
        "sid": str(opened.id),
        "acr": str(account.level),
        "amr": account.amr(opened.amr),
        "auth_time": int(opened.signed_in_at.timestamp()),
        "roles": account.roles or None,
    }
    if opened.principal_id is not None:
        principal = await queries.get_account(session, opened.principal_id)
        claims |= {
            "sub": str(principal.id),
            "kind": principal.kind,
            "act": {"sub": str(account.id)},
        }
    if opened.mandate_id is not None:
        mandate = await queries.get_mandate(session, opened.mandate_id)
        claims |= {
            "mandate": str(mandate.id),
            "matters": mandate.matters and [str(one) for one in mandate.matters],
        }
    return Tokens(
        access_token=await sign(session, account, claims, seconds, now),
        expires_in=seconds,
        refresh_token=security.refresh_token(opened.id, opened.generation),
        refresh_expires_in=int((opened.expires_at - now).total_seconds()),
    )


async def sign(
    session: AsyncSession, account: Account, claims: dict[str, Any], seconds: int, now: datetime
) -> str:
    """An access token of the account that lives for `seconds`."""
    key = await ensure_keys(session, now)
    issued = int(now.timestamp())
    common = {
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
    whole = {name: value for name, value in {**common, **claims}.items() if value is not None}
    return sign_access_token(OKPKey.import_key(orjson.loads(key.private_key)), key.kid, whole)
