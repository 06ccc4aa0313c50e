"""Access tokens: how they are signed and how they are judged, at the gateway and again in every service.

A token is a JWT of type `at+jwt` (RFC 9068) signed with Ed25519. Only that algorithm is accepted, under its RFC 9864 name
and the older `EdDSA`. A refusal never tells which check failed.
"""

import base64
import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OKPKey

ALGORITHMS = ["Ed25519", "EdDSA"]
TYPE = "at+jwt"
AUDIENCE = "tongban"
MAX_TOKEN = 4096
LEEWAY = 5
CACHE = 20_000
LONGEST_LIFE = 900.0
"""Seconds after which no access token of a revoked session can still be alive (they live ten minutes)."""


class TokenError(Exception):
    """The token does not hold. `code` is for logs and metrics, never for the caller."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acts, as the token says. `act` is the agent acting for `subject` (授权代办); times in epoch seconds."""

    subject: str
    kind: str
    acr: int
    amr: tuple[str, ...]
    auth_time: int
    session: str
    roles: frozenset[str]
    area: str | None
    department: str | None
    scopes: frozenset[str]
    act: str | None
    client_id: str | None
    expires_at: int
    mandate: str | None = None
    """The mandate (授权代办) under which `act` acts."""
    matters: frozenset[str] | None = None
    """The matters that the mandate is for; None for all."""

    def covers(self, matter_id: object) -> bool:
        """Whether the caller may act in this matter."""
        return self.matters is None or str(matter_id) in self.matters

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> "Caller":
        act: Any = claims.get("act")
        return cls(
            subject=str(claims["sub"]),
            kind=str(claims["kind"]),
            acr=int(claims.get("acr", 0)),
            amr=tuple(claims.get("amr", ())),
            auth_time=int(claims.get("auth_time", 0)),
            session=str(claims.get("sid", "")),
            roles=frozenset(claims.get("roles", ())),
            area=claims.get("area"),
            department=claims.get("department"),
            scopes=frozenset(str(claims.get("scope", "")).split()),
            act=str(act["sub"]) if isinstance(act, dict) else None,
            client_id=claims.get("client_id"),
            expires_at=int(claims["exp"]),
            mandate=claims.get("mandate"),
            matters=None
            if claims.get("matters") is None
            else frozenset(map(str, claims["matters"])),
        )


class KeySource(Protocol):
    """Where public keys come from."""

    generation: int
    """Rises when the set of keys changes."""
    loaded: bool
    """Whether there are keys at all."""

    async def refresh(self) -> None:
        """Read the keys again if they have not been read, or not for some time."""
        ...

    async def get(self, kid: str) -> OKPKey | None:
        """The public key with this id, or None."""
        ...


class StaticKeys:
    """A fixed JWK set."""

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        self._keys = read_jwks(jwks)
        self.generation = 0
        self.loaded = bool(self._keys)

    async def refresh(self) -> None:
        """Fixed keys stay as they are."""

    async def get(self, kid: str) -> OKPKey | None:
        return self._keys.get(kid)


def read_jwks(jwks: Mapping[str, Any]) -> dict[str, OKPKey]:
    """Ed25519 signing keys of a JWK set by key id; everything else in it is passed over."""
    return {
        entry["kid"]: OKPKey.import_key(
            {"kty": "OKP", "crv": "Ed25519", "x": entry["x"], "kid": entry["kid"]}
        )
        for entry in jwks.get("keys", ())
        if entry.get("kty") == "OKP"
        and entry.get("crv") == "Ed25519"
        and entry.get("use", "sig") == "sig"
    }


def sign_access_token(key: OKPKey, kid: str, claims: Mapping[str, Any]) -> str:
    """Sign `claims` (with `iss`, `aud`, `iat`, `exp` set) as an access token."""
    header = {"alg": "Ed25519", "kid": kid, "typ": TYPE}
    return jwt.encode(header, dict(claims), key, algorithms=ALGORITHMS)


class TokenVerifier:
    """Judges tokens, with a bounded cache of verdicts (a signature costs 175 µs, a look-up 1 µs).

    The cache honours the token's expiry, is emptied when the keys rotate, and forgets revoked sessions and subjects.
    """

    def __init__(self, keys: KeySource, issuer: str, audience: str = AUDIENCE) -> None:
        self.keys = keys
        self._issuer = issuer
        self._audience = audience
        self._verdicts: OrderedDict[bytes, Caller] = OrderedDict()
        self._generation = keys.generation
        self._revoked: OrderedDict[str, float] = OrderedDict()

    async def verify(self, token: str, now: datetime) -> Caller:
        """The caller behind `token` at `now`; raises `TokenError`."""
        moment = now.timestamp()
        if self._generation != self.keys.generation:
            self._verdicts.clear()
            self._generation = self.keys.generation
        digest = hashlib.sha256(token.encode()).digest()
        caller = self._verdicts.get(digest)
        if caller is None:
            caller = await self._judge(token, moment)
            self._verdicts[digest] = caller
            if len(self._verdicts) > CACHE:
                _ = self._verdicts.popitem(last=False)
        if caller.expires_at <= moment:
            _ = self._verdicts.pop(digest, None)
            raise TokenError("expired")
        if caller.session in self._revoked or caller.subject in self._revoked:
            raise TokenError("revoked")
        return caller

    def revoke(self, ids: Iterable[str], now: datetime) -> None:
        """Refuse tokens of these sessions or subjects from `now` until none of theirs can be alive: the list stays short."""
        moment = now.timestamp()
        for name in ids:
            self._revoked[name] = moment
            self._revoked.move_to_end(name)
        while self._revoked and next(iter(self._revoked.values())) < moment - LONGEST_LIFE:
            _ = self._revoked.popitem(last=False)

    async def _judge(self, token: str, moment: float) -> Caller:
        if len(token) > MAX_TOKEN:
            raise TokenError("too_long")
        try:
            header = _header(token)
            key = await self.keys.get(str(header.get("kid", "")))
            if key is None or header.get("alg") not in ALGORITHMS or header.get("typ") != TYPE:
                raise TokenError("header")
            with warnings.catch_warnings():
                # The older name of the same algorithm is accepted on purpose.
                warnings.simplefilter("ignore", SecurityWarning)
                claims = jwt.decode(token, key, algorithms=ALGORITHMS).claims
            self._check(claims, moment)
            return Caller.from_claims(claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise TokenError("malformed") from error

    def _check(self, claims: Mapping[str, Any], moment: float) -> None:
        audience: Any = claims.get("aud")
        audiences: Sequence[Any] = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._issuer or self._audience not in audiences:
            raise TokenError("audience")
        if moment >= float(claims["exp"]):
            raise TokenError("expired")
        if max(float(claims["iat"]), float(claims.get("nbf", 0))) > moment + LEEWAY:
            raise TokenError("not_yet")


def _header(token: str) -> dict[str, Any]:

    part = token.partition(".")[0]
    header: Any = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(header, dict) or "crit" in header:
        raise TokenError("header")
    return header  # pyright: ignore[reportUnknownVariableType]
