"""Signing keys as they are published."""

from pydantic import BaseModel


class PublicKey(BaseModel):
    """An Ed25519 key as a JWK (RFC 8037), in the order in which PostgreSQL keeps it."""

    x: str
    alg: str
    crv: str
    kid: str
    kty: str
    use: str


class Keys(BaseModel):
    """A JWK set (RFC 7517): every key that has ever signed a license."""

    keys: list[PublicKey]


class KeyRotated(BaseModel):
    """The key that signs from now on."""

    kid: str
