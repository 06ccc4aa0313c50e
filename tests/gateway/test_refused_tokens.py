"""Tokens that must not pass (targets S3).

They are refused at the gateway and again by a service, always in the same words.
"""

import base64
import time
import warnings
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from gateway.main import create_gateway
from gateway.settings import Settings
from tests.builders.tokens import ISSUER, TestKeys
from tests.conftest import ENGLISH, ClientFactory
from tests.gateway.conftest import serving

PATH = "/api/v1/matters/dead-letters"
WORDS = {
    "type": "urn:tongban:problem:invalid_token",
    "title": "Sign in first",
    "status": 401,
    "detail": "send a valid access token",
    "instance": PATH,
    "code": "invalid_token",
    "errors": [],
}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    base = {
        "iss": ISSUER,
        "aud": "tongban",
        "sub": "s",
        "kind": "staff",
        "iat": now,
        "exp": now + 600,
    }
    return {**base, "roles": ["administrator"], **changes}


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(content)).rstrip(b"=").decode()


def signed(key: Any, algorithm: str, **header: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwt.encode(
            {"alg": algorithm, "typ": "at+jwt", **header}, claims(), key, algorithms=[algorithm]
        )


def with_public_key_as_secret(keys: TestKeys) -> str:
    """The old confusion of algorithms.

    The public key, which everybody has, is used as the secret of a symmetric signature.
    """
    public = keys.key.as_dict(private=False)["x"]
    assert isinstance(public, str)
    secret = OctKey.import_key(base64.urlsafe_b64decode(public + "="))
    return signed(secret, "HS256", kid=keys.kid)


def tampered(keys: TestKeys) -> str:
    head, _, signature = keys.token(kind="person").split(".")
    return ".".join((head, part(claims()), signature))


FORGERIES: dict[str, Callable[[TestKeys], str]] = {
    "forged": lambda keys: TestKeys(keys.kid).token(),
    "tampered": tampered,
    "signature cut": lambda keys: keys.token().rpartition(".")[0] + ".",
    "expired": lambda keys: keys.token(exp=int(time.time()) - 1),
    "not yet": lambda keys: keys.token(iat=int(time.time()) + 60),
    "alg none": lambda keys: (
        f"{part({'alg': 'none', 'typ': 'at+jwt', 'kid': keys.kid})}.{part(claims())}."
    ),
    "alg None": lambda keys: (
        f"{part({'alg': 'None', 'typ': 'at+jwt', 'kid': keys.kid})}.{part(claims())}."
    ),
    "public key as secret": with_public_key_as_secret,
    "other curve": lambda keys: signed(OKPKey.generate_key("Ed448"), "Ed448", kid=keys.kid),
    "wrong audience": lambda keys: keys.token(aud="elsewhere"),
    "wrong issuer": lambda keys: keys.token(iss="elsewhere"),
    "wrong type": lambda keys: signed(keys.key, "Ed25519", kid=keys.kid, typ="JWT"),
    "no type": lambda keys: jwt.encode(
        {"alg": "Ed25519", "kid": keys.kid}, claims(), keys.key, algorithms=["Ed25519"]
    ),
    "old key": lambda _: TestKeys("retired-key").token(),
    "no key id": lambda keys: signed(keys.key, "Ed25519"),
    "key brought along": lambda keys: signed(
        OKPKey.generate_key("Ed25519"), "Ed25519", kid=keys.kid, jku="http://x/"
    ),
    "no subject": lambda keys: jwt.encode(
        {"alg": "Ed25519", "typ": "at+jwt", "kid": keys.kid},
        {name: value for name, value in claims().items() if name != "sub"},
        keys.key,
        algorithms=["Ed25519"],
    ),
    "too long": lambda keys: keys.token(roles=["x" * 5000]),
    "nonsense": lambda _: "nonsense",
    "three dots": lambda _: "...",
    "unicode": lambda _: "é.é.é",
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_token_is_refused_alike_by_gateway_and_service(
    client_of: ClientFactory, keys: TestKeys, forgery: str
) -> None:
    service = await client_of("matters")
    settings = Settings(jwks_url="http://127.0.0.1:1/", revocations_url="http://127.0.0.1:1/")
    gateway = create_gateway(settings, upstreams={"matters": service.app}, verifier=keys.verifier())
    headers = {"Authorization": f"Bearer {FORGERIES[forgery](keys)}".encode()}

    async with (
        serving(gateway) as port,
        httpx.AsyncClient(trust_env=False, headers=ENGLISH) as client,
    ):
        answers = [
            await client.get(f"http://127.0.0.1:{port}{PATH}", headers=headers),
            await service.get(PATH, headers=headers),
        ]

    for answer in answers:
        assert {name: value for name, value in answer.json().items() if name != "trace_id"} == WORDS
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_good_token_of_the_same_making_passes_both(
    client_of: ClientFactory, keys: TestKeys
) -> None:
    service = await client_of("matters")
    settings = Settings(jwks_url="http://127.0.0.1:1/", revocations_url="http://127.0.0.1:1/")
    gateway = create_gateway(settings, upstreams={"matters": service.app}, verifier=keys.verifier())
    headers = {"Authorization": f"Bearer {signed(keys.key, 'Ed25519', kid=keys.kid)}"}

    async with (
        serving(gateway) as port,
        httpx.AsyncClient(trust_env=False, headers=ENGLISH) as client,
    ):
        assert (
            await client.get(f"http://127.0.0.1:{port}{PATH}", headers=headers)
        ).status_code == 200
