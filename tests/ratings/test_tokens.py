"""Rating tokens: what holds, what does not, and why."""

import base64
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.ratings.invitations.model.keys import SigningKey
from services.ratings.invitations.model.tokens import Signer, end_of, read
from shared.events.cases import CaseClosed
from shared.ids import new_id
from shared.security.tokens import read_jwks
from tests.ratings.giving import BASE, Giving, a_case, today


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def test_anybody_can_check_a_token_with_the_published_keys(giving: Giving) -> None:
    link = await giving.invited()
    jwks = await giving.get("keys")

    header, payload, signature = link.split(".")
    kid = orjson.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    public = read_jwks(jwks)[kid].public_key
    public.verify(base64.urlsafe_b64decode(signature + "=="), f"{header}.{payload}".encode())
    claims = orjson.loads(base64.urlsafe_b64decode(payload + "=="))
    assert set(claims) == {"jti", "exp"}
    assert len(link) < 240
    assert all("d" not in key for key in jwks["keys"])


async def test_tokens_of_an_old_key_hold_after_the_key_has_changed(giving: Giving) -> None:
    old = await giving.invited()
    rotated = await giving.client.post(
        f"{BASE}/signing-keys/rotation", headers=giving.administrator
    )
    await giving.tell(a_case(CaseClosed, "C-2"))
    new = next(link for link in await giving.links() if link != old)

    assert rotated.status_code == 204
    assert read(old).kid != read(new).kid
    assert [(await giving.rate(token=link)).status_code for link in (old, new)] == [201, 201]
    assert len((await giving.get("keys"))["keys"]) == 3


async def test_only_administrators_change_keys(giving: Giving) -> None:
    answer = await giving.client.post(f"{BASE}/signing-keys/rotation", headers=giving.clerk)

    assert answer.status_code == 403


async def test_private_keys_lie_encrypted(giving: Giving) -> None:
    _ = await giving.invited()
    async with giving.client.database.transaction() as session:
        keys = (
            await session.scalars(
                SigningKey.__table__.select().with_only_columns(SigningKey.private_key)
            )
        ).all()

    stored = str(await giving.rows("SELECT to_jsonb(k)::text FROM signing_key k"))

    assert len(keys) == 2
    assert not any(key in stored for key in keys)


@pytest.mark.parametrize(
    "change",
    [
        "signature",
        "payload",
        "own_key",
        "unknown_key",
        "none",
        "garbage",
        "dots",
        "empty_claims",
        "long",
        "other_alg",
        "padding",
    ],
)
async def test_forged_tokens_are_refused_with_the_reason(giving: Giving, change: str) -> None:
    link = await giving.invited()
    header, payload, signature = link.split(".")
    kid = read(link).kid
    claims = {"jti": b64(new_id().bytes), "exp": end_of(today())}
    own = Signer(kid, Ed25519PrivateKey.generate())
    forged = {
        "signature": f"{header}.{payload}.{signature[:-6]}AAAAAA",
        "payload": f"{header}.{b64(claims)}.{signature}",
        "own_key": own.sign(claims),
        "unknown_key": Signer("00000000", own.key).sign(claims),
        "none": f"{b64({'alg': 'none', 'kid': kid})}.{payload}.",
        "garbage": "kein-token",
        "dots": "a.b.c",
        "empty_claims": f"{header}.{b64({})}.{signature}",
        "long": f"{header}.{'A' * 700}.{signature}",
        "other_alg": f"{b64({'alg': 'HS256', 'kid': kid})}.{payload}.{signature}",
        "padding": f"{header}.{payload}.{signature[:-1]}{'B' if signature[-1] != 'B' else 'C'}",
    }[change]

    answers = [
        await giving.rate(token=forged),
        await giving.client.get(f"{BASE}/invitations/{forged}"),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (403, "token_forged")
    }
    assert await giving.rows("SELECT 1 FROM rating") == []


async def test_foreign_tokens_are_refused_with_the_reason(giving: Giving) -> None:
    link = await giving.invited()
    other_case = await giving.rate(token=link, case_number="C-2")
    await giving.change("DELETE FROM invitation")
    other_place = await giving.rate(token=link)

    assert {(one.status_code, one.json()["code"]) for one in (other_case, other_place)} == {
        (403, "token_foreign")
    }


async def test_replayed_token_gives_the_first_rating_and_no_second(giving: Giving) -> None:
    link = await giving.invited()
    first = await giving.rated(token=link)
    await giving.change("UPDATE invitation SET open_until = current_date - 9")

    again, other = await giving.rate(token=link), await giving.rate(token=link, grade=1)

    assert again.json() == first
    assert (other.status_code, other.json()["code"]) == (409, "already_rated")


async def test_access_token_is_no_rating_token(giving: Giving) -> None:
    access = giving.clerk["Authorization"].removeprefix("Bearer ")

    answer = await giving.rate(token=access)

    assert answer.status_code == 403
