"""How a record becomes one sequence of bytes, and how that is signed.

The canonical form follows RFC 8785: keys sorted, no blanks, UTF-8; texts in NFC, absent values
left out, and no numbers but small integers. A signature is a compact JWS without its payload
(RFC 7515, appendix F); the payload is the record. Another algorithm (SM2 with SM3) is another
`Signer` and another entry of `VERIFIERS`.
"""

import binascii
import hashlib
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol, cast

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.database.key_ring import decode, encode

# The members of a JWK depend on its algorithm.
Jwk = Mapping[str, Any]


def canonical(record: Mapping[str, object]) -> bytes:
    """The bytes of a record that are digested and signed."""
    content = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    # A text is in NFC exactly when each of its parts is. Most records are, and have no absent
    # values, so the slow way is rare.
    if b":null" not in content and unicodedata.is_normalized("NFC", content.decode()):
        return content
    return orjson.dumps(_normalised(record), option=orjson.OPT_SORT_KEYS)


def _normalised(value: object) -> object:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, Mapping):
        normalised: dict[str, object] = {}
        for key, one in cast("Mapping[str, object]", value).items():
            if one is not None:
                normalised[key] = _normalised(one)
        return normalised
    return value


def digest_of(record: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(record).hexdigest()


class Signer(Protocol):
    """Signs with one key."""

    @property
    def kid(self) -> str: ...

    def sign(self, payload: bytes) -> str:
        """A compact JWS with an empty payload part."""
        ...


class Ed25519Signer:
    """EdDSA over Ed25519 (RFC 8037)."""

    algorithm = "EdDSA"

    def __init__(self, kid: str, *, private: str) -> None:
        self.kid = kid
        self._key = Ed25519PrivateKey.from_private_bytes(decode(private))
        self._header = encode(orjson.dumps({"alg": self.algorithm, "kid": kid}))

    def sign(self, payload: bytes) -> str:
        signature = self._key.sign(f"{self._header}.{encode(payload)}".encode())
        return f"{self._header}..{encode(signature)}"


@lru_cache(maxsize=64)
def _public_key(x: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(decode(x))


def _verify_ed25519(jwk: Jwk, content: bytes, *, signature: bytes) -> bool:
    try:
        _public_key(jwk["x"]).verify(signature, content)
    except InvalidSignature:
        return False
    return True


class Verifier(Protocol):
    """Whether `signature` was made with the key over `content`."""

    def __call__(self, jwk: Jwk, content: bytes, *, signature: bytes) -> bool: ...


class SignerFactory(Protocol):
    """Makes the signer of a key."""

    def __call__(self, kid: str, *, private: str) -> Signer: ...


SIGNERS: Mapping[str, SignerFactory] = {Ed25519Signer.algorithm: Ed25519Signer}
VERIFIERS: Mapping[str, Verifier] = {Ed25519Signer.algorithm: _verify_ed25519}


def verify(jwk: Jwk, payload: bytes, *, signature: str) -> bool:
    """Whether `signature` (as `Signer.sign` gives it) was made with the key over `payload`."""
    try:
        header, middle, mac = signature.split(".")
        named = orjson.loads(decode(header))
        # The header must name this key and algorithm, so that nobody can choose another.
        if middle or named != {"alg": jwk["alg"], "kid": jwk["kid"]}:
            return False
        signed = f"{header}.{encode(payload)}".encode()
        return VERIFIERS[jwk["alg"]](jwk, signed, signature=decode(mac))
    except (ValueError, KeyError, binascii.Error):
        return False
