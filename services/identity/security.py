"""Arithmetic of signing in: SMS codes, TOTP, refresh tokens, pauses after failures.

All functions are pure; time is passed in.
"""

import base64
import hashlib
import hmac
import secrets
import struct
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from shared.security.crypto import lookup_hash

TOTP_STEP = 30
"""Seconds of one TOTP step (RFC 6238)."""
# People mistype; a guesser needs far more tries than that.
FREE_FAILURES = 5
LONGEST_PAUSE = timedelta(minutes=30)
MOST_DOUBLINGS = 12
"""2¹² seconds exceed the longest pause."""


def new_sms_code() -> str:
    """Six random digits."""
    return f"{secrets.randbelow(1_000_000):06d}"


def sms_code_hash(phone: str, *, purpose: str, code: str) -> bytes:
    """A code is bound to its phone and purpose."""
    return lookup_hash(f"{phone}/{purpose}/{code}", purpose="sms_code")


def new_totp_secret() -> str:
    """160 random bits in base32, as authenticator apps read them."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def totp(secret: str, step: int) -> str:
    """The code of one 30-second step (RFC 6238, SHA-1, six digits)."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1)
    # Dynamic truncation (RFC 4226 §5.3): the last half-byte says where the 31 bits begin.
    offset = digest[-1] & 15
    number: int = struct.unpack(">I", digest[offset : offset + 4])[0]
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06d}"


def totp_step(secret: str, *, code: str, moment: float, last_step: int) -> int | None:
    """The step whose code this is; None when it is none.

    The step before and after `moment` (epoch seconds) are allowed. A step up to `last_step`, the
    last one used, never is.
    """
    now = int(moment) // TOTP_STEP
    # Clocks of phones are some seconds off (RFC 6238 §5.2).
    for step in (now - 1, now, now + 1):
        if step > last_step and hmac.compare_digest(totp(secret, step), code):
            return step
    return None


def refresh_token(session_id: UUID, generation: int) -> str:
    """The refresh token of one generation of a session.

    It is derived with the service's key and never stored.
    """
    mac = lookup_hash(f"{session_id}/{generation}", purpose="refresh_token")
    return f"{session_id}.{generation}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


class RefreshClaim(NamedTuple):
    """Session and generation of a refresh token."""

    session_id: UUID
    generation: int


def read_refresh_token(token: str) -> RefreshClaim | None:
    """What a token that this service made stands for; None for any other text."""
    try:
        session, generation, _ = token.split(".")
        claim = RefreshClaim(UUID(session), int(generation))
    except ValueError:
        return None
    made = refresh_token(claim.session_id, claim.generation)
    if not hmac.compare_digest(made.encode(), token.encode()):
        return None
    return claim


def pause_after(failures: int) -> timedelta:
    """How long nobody may try again: nothing at first, then doubling up to half an hour."""
    beyond = failures - FREE_FAILURES
    if beyond < 0:
        return timedelta()
    seconds = 2 ** min(beyond, MOST_DOUBLINGS)
    return min(timedelta(seconds=seconds), LONGEST_PAUSE)


class MiniProgramUser(NamedTuple):
    """A user as one mini-program knows it: keyed hashes, never the ids themselves."""

    app_id: str
    openid_hash: bytes
    unionid_hash: bytes | None

    @classmethod
    def of(cls, app_id: str, *, openid: str, unionid: str | None) -> "MiniProgramUser":
        # In hexadecimal: look-up hashes ignore case, and these ids differ by case.
        unionid_hash: bytes | None = None
        if unionid:
            unionid_hash = lookup_hash(unionid.encode().hex(), purpose="unionid")
        return cls(app_id, lookup_hash(openid.encode().hex(), purpose="openid"), unionid_hash)


BindingContent = tuple[str, str, str | None, int]
"""App, hash of the openid, hash of the unionid (both in hex), and when it expires."""
_binding_content: TypeAdapter[BindingContent] = TypeAdapter(BindingContent)


def binding_token(user: MiniProgramUser, expires: int) -> str:
    """Proves until `expires` (epoch seconds) that the caller is this user.

    It is derived with the service's key and never stored.
    """
    unionid: str | None = None
    if user.unionid_hash:
        unionid = user.unionid_hash.hex()
    content = orjson.dumps([user.app_id, user.openid_hash.hex(), unionid, expires]).hex()
    return f"{content}.{lookup_hash(content, purpose='binding_token').hex()}"


def read_binding_token(token: str, moment: float) -> MiniProgramUser | None:
    """The user whom a token of this service names at `moment`; None for any other text."""
    content, _, mac = token.partition(".")
    if not hmac.compare_digest(
        lookup_hash(content, purpose="binding_token").hex().encode(), mac.encode()
    ):
        return None
    app_id, openid, unionid, expires = _binding_content.validate_json(bytes.fromhex(content))
    if moment >= expires:
        return None
    unionid_hash: bytes | None = None
    if unionid:
        unionid_hash = bytes.fromhex(unionid)
    return MiniProgramUser(app_id, bytes.fromhex(openid), unionid_hash)
