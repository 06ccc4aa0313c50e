"""Access tokens: how they are signed and verified, at the gateway and again in every service.

A token is a JWT of type `at+jwt` (RFC 9068) signed with Ed25519. Only that algorithm is accepted,
under its RFC 9864 name and the older `EdDSA`. A refusal never tells which check failed.
"""

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, cast

from cachetools import FIFOCache
from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError, SecurityWarning
from joserfc.jwk import OKPKey

ALGORITHMS = ["Ed25519", "EdDSA"]
TYPE = "at+jwt"
AUDIENCE = "tongban"
MAX_TOKEN = 4096
"""Characters; a longer token is refused unread."""
LEEWAY = 5
"""Seconds by which the clocks of services may differ."""
MAX_VERDICTS = 20_000
"""Tokens whose verdict is kept."""
LONGEST_LIFE = 900.0
"""Seconds after which no access token of a revoked session can still be alive.

Access tokens live ten minutes.
"""


class TokenError(Exception):
    """The token is not valid. `code` is for logs and metrics, never for the caller."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class CallerKind(StrEnum):
    """Kinds of accounts."""

    PERSON = "person"
    ORGANISATION = "organisation"
    STAFF = "staff"
    SYSTEM = "system"


CITIZENS = frozenset({CallerKind.PERSON, CallerKind.ORGANISATION})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acts, as the token says. Times are in epoch seconds.

    `act` is the agent acting for `subject` (授权代办).
    """

    subject: str
    kind: CallerKind
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
        """The caller that a verified token describes.

        Raises:
            KeyError, TypeError, ValueError: a claim is missing or of another type.
        """
        matters: Sequence[object] | None = claims.get("matters")
        allowed: frozenset[str] | None = None
        if matters is not None:
            allowed = frozenset(map(str, matters))
        return cls(
            subject=str(claims["sub"]),
            kind=CallerKind(claims["kind"]),
            acr=int(claims.get("acr", 0)),
            amr=tuple(claims.get("amr", ())),
            auth_time=int(claims.get("auth_time", 0)),
            session=str(claims.get("sid", "")),
            roles=frozenset(claims.get("roles", ())),
            area=claims.get("area"),
            department=claims.get("department"),
            scopes=frozenset(str(claims.get("scope", "")).split()),
            act=_agent(claims.get("act")),
            client_id=claims.get("client_id"),
            expires_at=int(claims["exp"]),
            mandate=claims.get("mandate"),
            matters=allowed,
        )


def _agent(act: object) -> str | None:
    """The subject of the claim `act`."""
    if not isinstance(act, dict):
        return None
    return str(cast("dict[str, object]", act)["sub"])


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
    """Ed25519 signing keys of a JWK set by key id; every other key is passed over."""
    keys: dict[str, OKPKey] = {}
    for entry in jwks.get("keys", ()):
        is_ed25519 = entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519"
        if is_ed25519 and entry.get("use", "sig") == "sig":
            # Only these members: a private part or another algorithm in the set plays no role.
            public = {"kty": "OKP", "crv": "Ed25519", "x": entry["x"], "kid": entry["kid"]}
            keys[entry["kid"]] = OKPKey.import_key(public)
    return keys


def sign_access_token(key: OKPKey, kid: str, *, claims: Mapping[str, Any]) -> str:
    """Sign `claims` (with `iss`, `aud`, `iat`, `exp` set) as an access token."""
    header = {"alg": "Ed25519", "kid": kid, "typ": TYPE}
    return jwt.encode(header, dict(claims), key, algorithms=ALGORITHMS)


class TokenVerifier:
    """Verifies tokens, with a bounded cache of verdicts (a signature costs 175 µs, a look-up 1 µs).

    The cache honours the token's expiry, is emptied when the keys rotate, and does not serve
    revoked sessions and subjects.
    """

    def __init__(self, keys: KeySource, issuer: str, *, audience: str = AUDIENCE) -> None:
        self.keys = keys
        self._issuer = issuer
        self._audience = audience
        # FIFO and not LRU: a look-up on every request must not reorder the cache.
        self._verdicts: FIFOCache[bytes, Caller] = FIFOCache(MAX_VERDICTS)
        self._generation = keys.generation
        self._revoked: OrderedDict[str, float] = OrderedDict()

    async def verify(self, token: str, now: datetime) -> Caller:
        """The caller behind `token` at `now`.

        Raises:
            TokenError: the token is not valid, expired or revoked.
        """
        moment = now.timestamp()
        if self._generation != self.keys.generation:
            self._verdicts.clear()
            self._generation = self.keys.generation
        digest = hashlib.sha256(token.encode()).digest()
        caller = self._verdicts.get(digest)
        if caller is None:
            caller = await self._judge(token, moment)
            self._verdicts[digest] = caller
        if caller.expires_at <= moment:
            _ = self._verdicts.pop(digest, None)
            raise TokenError("expired")
        if caller.session in self._revoked or caller.subject in self._revoked:
            raise TokenError("revoked")
        return caller

    def revoke(self, ids: Iterable[str], now: datetime) -> None:
        """Refuse tokens of these sessions or subjects from `now` on.

        An id is forgotten once no token of it can still be alive, so that the list stays short.
        """
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
            key = await self._key_of(token)
            with warnings.catch_warnings():
                # The older name of the same algorithm is accepted on purpose.
                warnings.simplefilter("ignore", SecurityWarning)
                claims = jwt.decode(token, key, algorithms=ALGORITHMS).claims
            self._check_claims(claims, moment)
            return Caller.from_claims(claims)
        except ExpiredTokenError as error:
            raise TokenError("expired") from error
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise TokenError("malformed") from error

    async def _key_of(self, token: str) -> OKPKey:
        """The key that the token's header names; refuses a header that is not one of ours."""
        header = jws.extract_compact(token.encode()).headers()
        is_ours = header.get("alg") in ALGORITHMS and header.get("typ") == TYPE
        # No extension is supported, so a critical one must be refused (RFC 7515, 4.1.11).
        if not is_ours or "crit" in header:
            raise TokenError("header")
        key = await self.keys.get(str(header.get("kid", "")))
        if key is None:
            raise TokenError("header")
        return key

    def _check_claims(self, claims: dict[str, Any], moment: float) -> None:
        registry = jwt.JWTClaimsRegistry(
            now=int(moment),
            # Expiry has no leeway: `verify` compares it with the exact time.
            leeway=LEEWAY,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        registry.validate(claims)
