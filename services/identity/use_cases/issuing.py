"""Opening a session and signing its tokens."""

from datetime import datetime, timedelta
from typing import Any

import orjson
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import security
from services.identity.model import Account, SignIn
from services.identity.schemas import Tokens
from services.identity.settings import Settings
from services.identity.use_cases.keys import ensure_keys
from shared.errors import UnauthenticatedError
from shared.ids import new_id
from shared.tokens import AUDIENCE, sign_access_token

ISSUER = "tongban"


def refused() -> UnauthenticatedError:
    """One wording for every reason."""
    return UnauthenticatedError("the details do not fit, or have expired", headers={"WWW-Authenticate": "Bearer"})


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


async def issue_tokens(
    session: AsyncSession, account: Account, opened: SignIn, settings: Settings, now: datetime
) -> Tokens:
    """The tokens of a session's present generation. Acting for an organisation, that is the subject and the person `act`."""
    claims: dict[str, Any] = {
        "sid": str(opened.id),
        "acr": str(account.level),
        "amr": account.amr(opened.amr),
        "auth_time": int(opened.signed_in_at.timestamp()),
        "roles": account.roles or None,
    }
    if opened.organisation_id is not None:
        claims |= {"sub": str(opened.organisation_id), "kind": "organisation", "act": {"sub": str(account.id)}}
    return Tokens(
        access_token=await sign(session, account, claims, settings, now),
        expires_in=settings.access_token_seconds,
        refresh_token=security.refresh_token(opened.id, opened.generation),
        refresh_expires_in=int((opened.expires_at - now).total_seconds()),
    )


async def sign(
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
