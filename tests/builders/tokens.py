"""Signed tokens for tests."""

import time
from typing import Any
from uuid import uuid4

from joserfc.jwk import OKPKey

from shared.security.tokens import AUDIENCE, StaticKeys, TokenVerifier, sign_access_token

ISSUER = "tongban"


class TestKeys:
    """A key pair of its own, its verifier, and tokens for any caller."""

    __test__ = False

    def __init__(self, kid: str = "test-key") -> None:
        self.kid = kid
        self.key = OKPKey.generate_key("Ed25519", {"kid": kid})

    def jwks(self) -> dict[str, Any]:
        return {"keys": [{**self.key.as_dict(private=False), "use": "sig"}]}

    def verifier(self) -> TokenVerifier:
        return TokenVerifier(StaticKeys(self.jwks()), issuer=ISSUER)

    def token(self, **claims: Any) -> str:
        """A token of ten minutes.

        `scope` and `roles` are as in production; everything can be overridden.
        """
        now = int(time.time())
        base = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(uuid4()),
            "sid": str(uuid4()),
            "kind": "person",
            "acr": "2",
            "amr": ["sms"],
            "auth_time": now,
            "iat": now,
            "exp": now + 600,
        }
        return sign_access_token(
            self.key,
            self.kid,
            claims={**base, **{k: v for k, v in claims.items() if v is not None}},
        )
