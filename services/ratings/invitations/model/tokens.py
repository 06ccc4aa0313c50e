"""Rating tokens: compact Ed25519 JWS with short claims, checked with the published keys.

Three kinds: of an invitation's link (`jti`, its id), of a pre-issued batch (`bat`, `n`: batch and
number), and of a visit (`vis`: what a window's rotating code was exchanged for). Ed25519 signs the
same claims to the same token, so none is stored: whoever holds the key makes it again.

A window's rotating code is no such token but an HMAC under the service's own key.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple, TypedDict, cast
from uuid import UUID, uuid5

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.ratings.invitations.model.refusals import TokenForgedError
from services.ratings.model_base import Office
from shared import clock
from shared.security.crypto import lookup_hash

MAX_TOKEN = 1024
CODE_PREFIX = "w."
SUBJECTS = UUID("5c1f0c52-7c7b-5a83-9f4e-3b6c52f2a9d1")
"""Name space of ids that follow from what they name."""
MAC_BYTES = 16


class Window(NamedTuple):
    """A window of a hall of a department."""

    area_code: str
    department_code: str
    hall: str
    name: str

    @property
    def office(self) -> Office:
        return Office(self.area_code, self.department_code)


@dataclass(frozen=True, slots=True)
class LinkClaims:
    """The token of an invitation's link."""

    invitation_id: UUID


@dataclass(frozen=True, slots=True)
class BatchClaims:
    """A pre-issued token: the `number`-th of its batch, from 1."""

    batch_id: UUID
    number: int


@dataclass(frozen=True, slots=True)
class VisitClaims:
    """What the code of a window in one step of time was exchanged for."""

    window: Window
    step: int


Claims = LinkClaims | BatchClaims | VisitClaims


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs, and its name."""

    kid: str
    key: Ed25519PrivateKey

    def sign(self, claims: Mapping[str, object]) -> str:
        signed = f"{_header(self.kid)}.{b64(orjson.dumps(claims))}"
        return f"{signed}.{b64(self.key.sign(signed.encode()))}"


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was read; its signature is not verified yet."""

    kid: str
    claims: Claims
    expires: int
    """Epoch seconds."""
    signed: bytes
    signature: bytes

    def verify(self, key: Ed25519PublicKey | None) -> None:
        """Raise `TokenForgedError` unless `key` signed it; None is a key that was never ours."""
        # Unknown and wrong keys get one answer: nobody learns which keys exist.
        if key is None:
            raise forged()
        try:
            key.verify(self.signature, self.signed)
        except InvalidSignature:
            raise forged() from None


def forged() -> TokenForgedError:
    return TokenForgedError("this token was not made here, or was changed")


def read(text: str) -> Token:
    """The parts of a token; raises `TokenForgedError` for a text that has not its exact form."""
    # Before anything is decoded: a stranger chooses the length.
    if len(text) > MAX_TOKEN:
        raise forged()
    try:
        return _parse(text)
    except (ValueError, KeyError, TypeError):
        raise forged() from None


class TokenHeader(TypedDict):
    """The part of a token's header that is read; a stranger wrote it."""

    kid: object


def _parse(text: str) -> Token:
    header, payload, signature = text.split(".")
    head = cast("TokenHeader", orjson.loads(unb64(header)))
    # Any: a stranger's JSON, whose form is checked here.
    claims: Any = orjson.loads(unb64(payload))
    kid = head["kid"]
    expires = claims["exp"]
    if not isinstance(kid, str) or header != _header(kid) or not isinstance(expires, int):
        raise ValueError("not a token of ours")
    return Token(
        kid=kid,
        claims=_parse_claims(claims),
        expires=expires,
        signed=f"{header}.{payload}".encode(),
        signature=unb64(signature),
    )


def _parse_claims(claims: Mapping[str, Any]) -> Claims:
    # Claims are read before the signature is verified, so everything about them is checked.
    if "vis" in claims:
        area, department, hall, name, step = claims["vis"]
        return VisitClaims(Window(area, department, hall, name), int(step))
    if "bat" in claims:
        number = claims["n"]
        if not isinstance(number, int):
            raise ValueError("not a number")
        return BatchClaims(UUID(bytes=unb64(claims["bat"])), number)
    return LinkClaims(UUID(bytes=unb64(claims["jti"])))


def _header(kid: str) -> str:
    return b64(orjson.dumps({"alg": "EdDSA", "kid": kid}))


def link_claims(invitation_id: UUID, open_until: date) -> dict[str, object]:
    return {"jti": b64(invitation_id.bytes), "exp": end_of(open_until)}


def batch_claims(batch_id: UUID, number: int, *, expires_on: date) -> dict[str, object]:
    return {"bat": b64(batch_id.bytes), "n": number, "exp": end_of(expires_on)}


def visit_claims(window: Window, step: int, *, expires_at: datetime) -> dict[str, object]:
    return {"vis": [*window, step], "exp": int(expires_at.timestamp())}


def end_of(day: date) -> int:
    """The end of a day in the city, in epoch seconds."""
    return int(clock.day_start(day + timedelta(days=1)).timestamp())


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def batch_subject(batch_id: UUID, number: int) -> UUID:
    """Id of the visit that one token of a batch stands for."""
    return uuid5(SUBJECTS, f"batch/{batch_id}/{number}")


def case_subject(case_number: str, service_number: int) -> UUID:
    """Id of the invitation to one service event of a case, however often its event comes."""
    return uuid5(SUBJECTS, f"case/{case_number}/{service_number}")


def claim_subject(office: Office, case_number: str) -> UUID:
    """Id of the invitation to the closing of a case that an office says is its own."""
    return uuid5(SUBJECTS, f"claim/{office.area_code}/{office.department_code}/{case_number}")


def visit_subject(visit: str) -> UUID:
    return uuid5(SUBJECTS, f"visit/{visit}")


class WindowStep(NamedTuple):
    """A window in one step of time: what a rotating code stands for."""

    window: Window
    step: int


def step_of(now: datetime, seconds: int) -> int:
    """The number of the step of `seconds` that `now` lies in."""
    return int(now.timestamp()) // seconds


def window_code(window: Window, step: int) -> str:
    """The code that a window shows in one step of time, by HMAC under the service's key."""
    payload = b64(orjson.dumps([*window, step]))
    return f"{CODE_PREFIX}{payload}.{_code_mac(payload)}"


def is_window_code(text: str) -> bool:
    """Whether a text has the form of a window's code; tokens never have it."""
    return text.startswith(CODE_PREFIX)


def read_window_code(code: str) -> WindowStep:
    """What a code of ours stands for; raises `TokenForgedError` for any other."""
    payload, _, mac = code.removeprefix(CODE_PREFIX).partition(".")
    # In constant time: the time of an answer tells nothing about the right code.
    is_ours = hmac.compare_digest(_code_mac(payload).encode(), mac.encode())
    if len(code) > MAX_TOKEN or not is_ours:
        raise forged()
    # The MAC proves that the list was made by `window_code`.
    content = cast("tuple[str, str, str, str, int]", tuple(orjson.loads(unb64(payload))))
    area, department, hall, name, step = content
    return WindowStep(Window(area, department, hall, name), step)


def _code_mac(payload: str) -> str:
    # In hexadecimal, because look-up hashes ignore case and base64 does not.
    return b64(lookup_hash(payload.encode().hex(), purpose="window_code")[:MAC_BYTES])


def b64(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes of `b64`; raises `ValueError` for every other spelling of them."""
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    # Else one token would have several spellings, and its hash would not find it.
    if b64(raw) != text:
        raise ValueError("not canonical")
    return raw
