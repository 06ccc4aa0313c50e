"""The platform's signature under receipts and statements: compact JWS with Ed25519 keys."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, cast

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers import queries
from services.exchange.peers.model import ReceiptKey
from shared.database import audit
from shared.database.key_ring import KeyRing, new_jwk
from shared.ids import new_id

RING = KeyRing(ReceiptKey, "receipts", lambda: str(new_id()), new_jwk)
ALGORITHMS = ["Ed25519"]
PUBLIC_PARTS = ("kty", "crv", "x")


async def rotate_key(session: AsyncSession, now: datetime) -> None:
    """Sign with a new key from now on.

    The old one stays published, because what it signed stays evidence.
    """
    key = await RING.rotate(session, now)
    audit.record(session, "receipt-keys.rotate", object_type="receipt_key", object_id=key.kid)


async def list_keys(session: AsyncSession, now: datetime) -> list[dict[str, str]]:
    """The public keys (JWK), oldest first; the first key is made when there is none yet."""
    _ = await RING.current(session, now)
    return await queries.list_public_keys(session)


async def sign(
    session: AsyncSession, document: Mapping[str, object], *, kind: str, now: datetime
) -> bytes:
    """The document as compact JWS of the media type `application/<kind>+jws`.

    The payload has its keys sorted, so equal documents have equal payloads.
    """
    key = await RING.current(session, now)
    # Ed25519 is the algorithm's own name (RFC 9864); the older EdDSA names a family.
    header = {"alg": "Ed25519", "kid": key.kid, "typ": kind}
    private = OKPKey.import_key(orjson.loads(key.private_key))
    payload = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return jws.serialize_compact(header, payload, private, algorithms=ALGORITHMS).encode()


class SignedHeader(TypedDict):
    """The header of a JWS, as far as it is read here."""

    kid: object


# The document is JSON of the signer's making: whoever reads it judges each member.
def read_signed(token: bytes, keys: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The document of a compact JWS that one of these public keys (JWK) verifies.

    Raises `ValueError` when the signature does not hold, the document is no JSON object, or the key
    is not among `keys`.
    """
    try:
        # The key id is read from the header before the signature is verified; it only chooses
        # among keys that are trusted already.
        part = token.split(b".", 1)[0]
        content: object = orjson.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
        header = cast("SignedHeader", content)
        found = _find_key(keys, header["kid"])
        public = OKPKey.import_key({name: found[name] for name in PUBLIC_PARTS})
        signed = jws.deserialize_compact(token, public, algorithms=ALGORITHMS)
        return cast("dict[str, Any]", orjson.loads(signed.payload))
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise ValueError("the signature does not hold") from error


def _find_key(keys: Sequence[Mapping[str, str]], kid: object) -> Mapping[str, str]:
    for key in keys:
        if key.get("kid") == kid:
            return key
    raise KeyError(kid)
