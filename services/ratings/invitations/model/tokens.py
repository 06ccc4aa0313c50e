"""Rating tokens: compact Ed25519 JWS with short claims, which anybody can check with the published keys.

Three kinds: an invitation (`jti`, its id), one of a pre-issued batch (`bat`, `n`: batch and number), and a visit (`vis`:
what a window's rotating code was exchanged for). Ed25519 signs the same claims to the same token, so none needs to be stored:
whoever holds the key makes it again.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.ratings.invitations.model.refusals import TokenForgedError
from shared import clock
from shared.security.crypto import lookup_hash

MAX_TOKEN = 1024
CODE_PREFIX = "w."
SUBJECTS = UUID("5c1f0c52-7c7b-5a83-9f4e-3b6c52f2a9d1")
"""Name space of ids that follow from what they name."""


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes of base64url without padding, in its one right form only; ValueError for any other."""
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if b64(raw) != text:
        raise ValueError("not canonical")
    return raw


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs, and its name."""

    kid: str
    key: Ed25519PrivateKey

    def sign(self, claims: Mapping[str, Any]) -> str:
        signed = f"{_header(self.kid)}.{b64(orjson.dumps(claims))}"
        return f"{signed}.{b64(self.key.sign(signed.encode()))}"


def _header(kid: str) -> str:
    return b64(orjson.dumps({"alg": "EdDSA", "kid": kid}))


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was read and not yet believed."""

    kid: str
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    def check(self, key: Ed25519PublicKey | None) -> None:
        """Raise unless `key` signed it."""
        try:
            if key is None:
                raise InvalidSignature  # noqa: TRY301 - an unknown key is a forged token
            key.verify(self.signature, self.signed)
        except InvalidSignature:
            raise forged() from None

    @property
    def expires(self) -> int:
        return int(self.claims["exp"])


def forged() -> TokenForgedError:
    return TokenForgedError("this token was not made here, or was changed")


def read(text: str) -> Token:
    """The parts of a token; raises `TokenForgedError` for whatever has not its exact form."""
    try:
        if len(text) > MAX_TOKEN:
            raise ValueError("too long")  # noqa: TRY301 - one refusal for every fault
        header, payload, signature = text.split(".")
        kid: Any = orjson.loads(unb64(header))["kid"]
        claims: Any = orjson.loads(unb64(payload))
        if not isinstance(kid, str) or header != _header(kid) or not isinstance(claims["exp"], int):
            raise ValueError("header")  # noqa: TRY301
        return Token(kid, claims, f"{header}.{payload}".encode(), unb64(signature))
    except (ValueError, KeyError, TypeError):
        raise forged() from None


def end_of(day: date) -> int:
    """The end of a day in the city, in epoch seconds."""
    return int(clock.day_start(day + timedelta(days=1)).timestamp())


def invitation_claims(invitation_id: UUID, open_until: date) -> dict[str, Any]:
    return {"jti": b64(invitation_id.bytes), "exp": end_of(open_until)}


def batch_claims(batch_id: UUID, number: int, expires_on: date) -> dict[str, Any]:
    return {"bat": b64(batch_id.bytes), "n": number, "exp": end_of(expires_on)}


def read_id(text: Any) -> UUID:
    """The id within a claim; forged when it is none."""
    try:
        return UUID(bytes=unb64(text))
    except (ValueError, TypeError):
        raise forged() from None


def batch_subject(batch_id: UUID, number: int) -> UUID:
    """The invitation's id of one token of a batch, which follows from both."""
    return uuid5(SUBJECTS, f"batch/{batch_id}/{number}")


def case_subject(case_number: str, service_number: int) -> UUID:
    """The invitation's id of one service event of a case: the same however often its fact is told."""
    return uuid5(SUBJECTS, f"case/{case_number}/{service_number}")


def claim_subject(place: tuple[str, str], case_number: str) -> UUID:
    """The invitation's id of the closing of a case that a department (area, code) says is its own."""
    return uuid5(SUBJECTS, f"claim/{place[0]}/{place[1]}/{case_number}")


def visit_subject(visit: str) -> UUID:
    return uuid5(SUBJECTS, f"visit/{visit}")


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


Window = tuple[str, str, str, str]
"""Area, department, hall, window."""


def window_code(window: Window, step: int) -> str:
    """The code that a window shows in one step of time, by HMAC under the service's key."""
    payload = b64(orjson.dumps([*window, step]))
    return f"{CODE_PREFIX}{payload}.{_code_mac(payload)}"


def _code_mac(payload: str) -> str:
    # In hexadecimal, because look-up hashes take no notice of case and base64 does.
    return b64(lookup_hash(payload.encode().hex(), "window_code")[:16])


def read_window_code(code: str) -> tuple[Window, int]:
    """Window and step of a code of ours; `TokenForgedError` for any other."""
    payload, _, mac = code.removeprefix(CODE_PREFIX).partition(".")
    if len(code) > MAX_TOKEN or not hmac.compare_digest(_code_mac(payload).encode(), mac.encode()):
        raise forged()
    area, department, hall, window, step = orjson.loads(unb64(payload))
    return (area, department, hall, window), step


def step_of(now: datetime, seconds: int) -> int:
    return int(now.timestamp()) // seconds
