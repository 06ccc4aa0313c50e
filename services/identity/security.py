"""The arithmetic of signing in: codes by SMS, TOTP, refresh tokens, pauses after failures. Pure; time is passed in."""

import base64
import hashlib
import hmac
import secrets
import struct
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import orjson

from shared.security.crypto import lookup_hash

TOTP_STEP = 30
FREE_FAILURES = 5
LONGEST_PAUSE = timedelta(minutes=30)


def new_sms_code() -> str:
    """Six random digits."""
    return f"{secrets.randbelow(1_000_000):06d}"


def sms_code_hash(phone: str, purpose: str, code: str) -> bytes:
    """A code is bound to its number and purpose."""
    return lookup_hash(f"{phone}/{purpose}/{code}", "sms_code")


def new_totp_secret() -> str:
    return base64.b32encode(secrets.token_bytes(20)).decode()


def totp(secret: str, step: int) -> str:
    """The code of one 30-second step (RFC 6238, SHA-1, six digits)."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1)
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset : offset + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def totp_step(secret: str, code: str, moment: float, last_step: int) -> int | None:
    """The step whose code this is, one before or after now allowed, never one used before; None when it is none."""
    now = int(moment) // TOTP_STEP
    for step in (now - 1, now, now + 1):
        if step > last_step and hmac.compare_digest(totp(secret, step), code):
            return step
    return None


def refresh_token(session_id: UUID, generation: int) -> str:
    """The refresh token of one generation of a session. Derived, so that none is ever stored."""
    mac = lookup_hash(f"{session_id}/{generation}", "refresh_token")
    return f"{session_id}.{generation}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def read_refresh_token(token: str) -> tuple[UUID, int] | None:
    """Session and generation of a token that is ours; None for any other."""
    try:
        session, generation, _ = token.split(".")
        claimed = UUID(session), int(generation)
    except ValueError:
        return None
    return (
        claimed if hmac.compare_digest(refresh_token(*claimed).encode(), token.encode()) else None
    )


def pause_after(failures: int) -> timedelta:
    """How long nobody may try again: nothing for the first failures, then doubling to half an hour."""
    beyond = failures - FREE_FAILURES
    return (
        timedelta() if beyond < 0 else min(timedelta(seconds=2 ** min(beyond, 12)), LONGEST_PAUSE)
    )


class MiniProgramUser(NamedTuple):
    """A user as one mini-program knows it: keyed hashes, never the ids themselves."""

    app_id: str
    openid_hash: bytes
    unionid_hash: bytes | None

    @classmethod
    def of(cls, app_id: str, openid: str, unionid: str | None) -> "MiniProgramUser":
        # In hexadecimal, because look-up hashes take no notice of case and these ids do.
        union = lookup_hash(unionid.encode().hex(), "unionid") if unionid else None
        return cls(app_id, lookup_hash(openid.encode().hex(), "openid"), union)


def binding_token(user: MiniProgramUser, expires: int) -> str:
    """Says, until `expires` (epoch seconds), that the caller is this user. Derived, so that none is ever stored."""
    parts = [
        user.app_id,
        user.openid_hash.hex(),
        user.unionid_hash.hex() if user.unionid_hash else None,
        expires,
    ]
    content = orjson.dumps(parts).hex()
    return f"{content}.{lookup_hash(content, 'binding_token').hex()}"


def read_binding_token(token: str, moment: float) -> MiniProgramUser | None:
    """The user whom a token of ours names at `moment`; None for any other."""
    content, _, mac = token.partition(".")
    if not hmac.compare_digest(lookup_hash(content, "binding_token").hex().encode(), mac.encode()):
        return None
    app_id, openid, unionid, expires = orjson.loads(bytes.fromhex(content))
    user = MiniProgramUser(
        app_id, bytes.fromhex(openid), bytes.fromhex(unionid) if unionid else None
    )
    return user if moment < expires else None
