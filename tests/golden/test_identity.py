"""Identity: sign-in, real names, organisations, mandates, staff, systems. No secret is recorded."""

import base64
import hashlib
import hmac
import re
import struct
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from tests.conftest import Headers
from tests.golden import inputs
from tests.golden.inputs import PERSON
from tests.golden.normalise import fixed
from tests.golden.recorder import CITY, DEPARTMENT, Answer, Golden, Played

PHONE, OTHER_PHONE = "13989001234", "13700000001"
ID_NUMBER, OTHER_ID = PERSON["id_number"], "540102199001010038"
CARD = {"name": "卓玛央金", "id_number": ID_NUMBER, "id_valid_until": "2036-01-01"}
OTHER_CARD = {"name": "次仁旺堆", "id_number": OTHER_ID, "id_valid_until": "2036-01-01"}
POST = {"area_code": CITY, "department_code": DEPARTMENT, "roles": ["window_clerk"]}
SECRETS = {
    "initial_password",
    "totp_secret",
    "password_hash",
    "refresh_token",
    "password",
    "totp",
    "client_assertion",
}


class Play:
    """The identity service with signing keys that never change."""

    def __init__(self, golden: Golden, played: Played) -> None:
        self.golden = golden
        self.identity = played
        self.administrator = golden.as_.administrator()
        self._keys = 0

    def key(self) -> str:
        self._keys += 1
        return f"identity-{self._keys}"

    async def code(self, phone: str, purpose: str = "sign_in") -> str:
        """The code that was sent; two minutes pass, because a number gets one a minute."""
        self.golden.clock.wait(2)
        _ = await self.identity.post("sms-codes", None, body={"phone": phone, "purpose": purpose})
        sent = await self.identity.get("development/sms-messages", self.administrator, phone=phone)
        found = re.search(r"[0-9]{6}", sent.json[0]["text"])
        assert found is not None
        return found[0]

    async def sign_in(self, phone: str = PHONE) -> Any:
        body = {"phone": phone, "code": await self.code(phone)}
        return (await self.identity.post("sessions/sms", None, body=body)).json

    async def refresh(self, tokens: Any) -> Any:
        body = {"refresh_token": tokens["refresh_token"]}
        return (await self.identity.post("sessions/refresh", None, body=body)).json

    async def verified(self, phone: str = PHONE, card: dict[str, str] = CARD) -> Any:
        """Tokens of a person of level 2."""
        tokens = await self.sign_in(phone)
        _ = await self.identity.post("verifications", self.bearer(tokens), body=card)
        return await self.refresh(tokens)

    def bearer(self, tokens: Any) -> Headers:
        """The same caller under the key of the tests: the app believes no other here."""
        part = tokens["access_token"].split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return self.golden.as_.with_claims(claims)

    async def staff(self, username: str, *roles: str) -> Answer:
        body = {"username": username, "name": "扎西顿珠", **POST, "roles": list(roles)}
        return await self.identity.post("staff", self.administrator, body=body, key=self.key())

    async def password(self, staff: Any, **changes: str) -> Answer:
        step = int(self.golden.clock.now.timestamp()) // 30
        body = {
            "username": staff["username"],
            "password": staff["initial_password"],
            "totp": totp(staff["totp_secret"], step),
            **changes,
        }
        return await self.identity.post("sessions/password", None, body=body)


def totp(secret: str, step: int) -> str:
    """RFC 6238 with SHA-1 and six digits."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1)
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


@pytest.fixture
async def play(golden: Golden) -> Play:
    golden.draw_in_turn()
    golden.normaliser.random |= SECRETS
    played = await golden.service("identity", development=True)
    for state, number, seed in (("current", 6003, 17), ("next", 6004, 18)):
        private, public = inputs.jwk_pair(fixed(number), seed, column="signing_key.private_key")
        await played.execute(
            "INSERT INTO signing_key (kid, state, private_key, public_key, created_at)"
            " VALUES ($1, $2, $3, $4, '2026-01-01')",
            fixed(number),
            state,
            private,
            public,
        )
    return Play(golden, played)


async def finish(play: Play) -> None:
    play.golden.section("Tables")
    await play.identity.dump()
    play.golden.check()


async def test_persons(play: Play) -> None:
    golden, identity = play.golden, play.identity
    golden.section("By SMS, for the first time and again")
    first = await play.sign_in()
    second = await play.sign_in()
    _ = await identity.get("account", play.bearer(second))
    _ = await identity.post("sessions/sms", None, body={"phone": PHONE, "code": "000000"})
    _ = await identity.post("sms-codes", None, body={"phone": "1", "purpose": "x"})
    _ = await identity.post("sms-codes", None, body={"phone": OTHER_PHONE})
    _ = await identity.post("sms-codes", None, body={"phone": OTHER_PHONE})

    golden.section("The real name")
    for changes in (
        {"id_number": "540102199001010012"},
        {"id_valid_until": "2020-01-01"},
        {"name": "不符"},
    ):
        _ = await identity.post("verifications", play.bearer(first), body={**CARD, **changes})
    _ = await identity.post("verifications", play.bearer(first), body=CARD)
    _ = await identity.post("verifications", play.bearer(first), body=CARD)
    refreshed = await play.refresh(first)
    _ = await identity.get("account/export", play.bearer(refreshed))
    other = await play.sign_in(OTHER_PHONE)
    _ = await identity.post("verifications", play.bearer(other), body=CARD)

    golden.section("At a counter")
    clerk = golden.as_.staff("window_clerk", number=101)
    card = {**CARD, "phone": PHONE, "reason": "本人持证到大厅窗口核验"}
    for changes in ({}, {}, {"phone": "13800000000"}, {"id_number": OTHER_ID}):
        _ = await identity.post("counter-verifications", clerk, body={**card, **changes})
    _ = await identity.post(
        "counter-verifications", golden.as_.staff("leader", number=104), body=card
    )

    golden.section("Sessions")
    again = await play.refresh(refreshed)
    sessions = await identity.get("sessions", play.bearer(again))
    _ = await identity.call("DELETE", "sessions/current", caller=play.bearer(again))
    _ = await identity.call(
        "DELETE", f"sessions/{sessions.json[0]['id']}", caller=play.bearer(other)
    )
    golden.clock.wait(5)
    _ = await identity.post(
        "sessions/refresh", None, body={"refresh_token": refreshed["refresh_token"]}
    )
    _ = await identity.post("sessions/refresh", None, body={"refresh_token": "nonsense"})
    _ = await identity.call("DELETE", "sessions", caller=play.bearer(other))
    feed = await identity.call("GET", "/internal/revocations")
    _ = await identity.call("GET", "/internal/revocations", params={"after": feed.json["next"]})

    golden.section("Keys")
    _ = await identity.get("jwks")
    _ = await identity.post("signing-keys/rotation", play.administrator)
    golden.normaliser.random |= {"x", "kid", "signing_key.private_key", "signing_key.public_key"}
    _ = await identity.get("jwks")
    golden.normaliser.random |= {"signing_key.kid"}
    await identity.dump()
    golden.check()


async def test_mini_programs(play: Play) -> None:
    identity = play.identity

    async def arrive(code: str, app: str = "app-one") -> Answer:
        return await identity.post(
            "sessions/mini-program", None, body={"app_id": app, "code": code}
        )

    first = await arrive("open-1:union-1")
    assert first.json["code"] == "binding_required"
    binding = {"binding_token": first.json["binding_token"], "phone": PHONE}
    _ = await identity.post(
        "sessions/mini-program/binding", None, body={**binding, "code": "000000"}
    )
    code = await play.code(PHONE, "bind")
    _ = await identity.post("sessions/mini-program/binding", None, body={**binding, "code": code})
    _ = await arrive("open-1:union-1")
    _ = await arrive("open-9:union-1", "app-two")
    _ = await arrive("invalid")
    play.golden.clock.wait(20)
    code = await play.code(OTHER_PHONE, "bind")
    late = {**binding, "phone": OTHER_PHONE, "code": code}
    _ = await identity.post("sessions/mini-program/binding", None, body=late)
    await finish(play)


async def test_organisations(play: Play) -> None:
    golden, identity = play.golden, play.identity
    person = await play.verified()
    body = {"uscc": DEPARTMENT, "name": "拉萨甜茶有限公司"}
    golden.section("Registered")
    made = await identity.post("organisations", play.bearer(person), body=body, key=play.key())
    _ = await identity.post("organisations", play.bearer(person), body=body, key=play.key())
    _ = await identity.post(
        "organisations", play.bearer(person), body={**body, "name": "不符"}, key=play.key()
    )
    _ = await identity.post(
        "organisations", play.bearer(person), body={**body, "uscc": "1"}, key=play.key()
    )
    _ = await identity.get("organisations", play.bearer(person))

    golden.section("Acted for")
    organisation = {"organisation_id": made.json["id"]}
    acting = (
        await identity.post("sessions/organisation", play.bearer(person), body=organisation)
    ).json
    _ = await identity.get("account", play.bearer(acting))
    _ = await identity.get("sessions", play.bearer(acting))
    acting = await play.refresh(acting)
    _ = await identity.call("DELETE", "sessions/current", caller=play.bearer(acting))

    golden.section("Another representative takes the place, and leaves")
    other = await play.verified(OTHER_PHONE, OTHER_CARD)
    _ = await identity.post("sessions/organisation", play.bearer(other), body=organisation)
    _ = await identity.post("organisations", play.bearer(other), body=body, key=play.key())
    _ = await identity.post("sessions/organisation", play.bearer(other), body=organisation)
    link = f"organisations/{made.json['id']}/link"
    _ = await identity.call("DELETE", link, caller=play.bearer(other))
    _ = await identity.call("DELETE", link, caller=play.bearer(other))
    await finish(play)


async def test_mandates(play: Play) -> None:
    golden, identity = play.golden, play.identity
    principal, agent = await play.verified(), await play.verified(OTHER_PHONE, OTHER_CARD)
    offer = {
        "agent_name": OTHER_CARD["name"],
        "agent_id_number": OTHER_ID,
        "matters": [inputs.TEAHOUSE, inputs.TRADE],
        "valid_until": "2026-12-31",
    }

    async def grant(**changes: Any) -> Answer:
        return await identity.post(
            "mandates", play.bearer(principal), body={**offer, **changes}, key=play.key()
        )

    async def exchange(mandate: str) -> Answer:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": mandate,
            "subject_token_type": "urn:tongban:params:oauth:token-type:mandate",
        }
        return await identity.form("oauth/token-exchange", form, caller=play.bearer(agent))

    golden.section("Offered and accepted")
    made = (await grant()).json["id"]
    _ = await grant(agent_id_number=ID_NUMBER, valid_until="2036-01-01")
    _ = await exchange(made)
    _ = await identity.post(f"mandates/{made}/acceptance", play.bearer(principal))
    _ = await identity.post(f"mandates/{made}/acceptance", play.bearer(agent))
    _ = await identity.post(f"mandates/{made}/acceptance", play.bearer(agent))
    _ = await identity.get("mandates", play.bearer(agent))
    golden.section("Acted under")
    acting = (await exchange(made)).json
    _ = await identity.post("mandates", play.bearer(acting), body=offer, key=play.key())
    acting = await play.refresh(acting)
    _ = await exchange(fixed(2099))
    golden.section("Revoked")
    reason = {"reason": "事项已办结, 不再需要代办"}
    _ = await identity.post(f"mandates/{made}/revocation", play.bearer(principal), body=reason)
    _ = await identity.post(f"mandates/{made}/revocation", play.bearer(agent), body=reason)
    _ = await exchange(made)
    _ = await identity.post(
        "sessions/refresh", None, body={"refresh_token": acting["refresh_token"]}
    )
    golden.section("Expired, and withdrawn before it was accepted")
    short = (await grant(matters=None, valid_until="2026-03-11")).json["id"]
    unaccepted = (await grant(matters=None)).json["id"]
    _ = await identity.post(
        f"mandates/{unaccepted}/revocation", play.bearer(principal), body=reason
    )
    golden.clock.move("2026-03-13T10:00")
    _ = await identity.post(f"mandates/{short}/acceptance", play.bearer(agent))
    page = await identity.get("mandates", play.bearer(principal), limit=2)
    _ = await identity.get("mandates", play.bearer(principal), limit=2, cursor=page.json["next"])
    await finish(play)


async def test_staff_and_systems(play: Play) -> None:
    golden, identity = play.golden, play.identity
    golden.section("Staff")
    made = (await play.staff("clerk.one", "window_clerk", "rating_handler")).json
    _ = await play.staff("clerk.one", "leader")
    _ = await play.staff(
        "too.many", "window_clerk", "approver", "delivery", "auditor", "administrator"
    )
    _ = await play.staff("x", "king")
    signed_in = await play.password(made)
    _ = await play.password(made)
    for _ in range(6):
        _ = await play.password(made, password="wrong")
    _ = await identity.get("account", play.bearer(signed_in.json))

    golden.section("Another post, and gone")
    listed = (await identity.get("staff", play.administrator)).json["items"]
    path = f"staff/{made['id']}"
    post = {**POST, "roles": ["approver"], "area_code": "540102000000"}
    _ = await identity.call(
        "PATCH", path, caller=play.administrator, body=post, version=listed[0]["revision"]
    )
    _ = await identity.call(
        "PATCH", path, caller=play.administrator, body=post, version=listed[0]["revision"]
    )
    _ = await identity.post(
        "sessions/refresh", None, body={"refresh_token": signed_in.json["refresh_token"]}
    )
    reason = {"reason": "调离本单位"}
    _ = await identity.post(f"{path}/departure", play.administrator, body=reason)
    _ = await identity.post(f"{path}/departure", play.administrator, body=reason)

    golden.section("Systems")
    key = OKPKey.import_key(orjson.loads(inputs.private_jwk("bureau", 19)))
    body = {
        "name": "房管系统",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "scopes": ["exchange:events", "cases:push"],
        "public_key": {name: key.as_dict(private=False)[name] for name in ("kty", "crv", "x")},
    }
    client = (await identity.post("systems", play.administrator, body=body, key=play.key())).json[
        "client_id"
    ]
    _ = await identity.post(
        "systems", play.administrator, body={**body, "public_key": {"kty": "RSA"}}, key=play.key()
    )

    async def ask(number: int, scope: str = "", **changes: Any) -> None:
        claims = {
            "iss": client,
            "sub": client,
            "aud": "/api/v1/identity/oauth/token",
            "exp": int(golden.clock.now.timestamp()) + 60,
            "jti": f"assertion-{number}",
            **changes,
        }
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode({"alg": "Ed25519"}, claims, key, algorithms=["Ed25519"]),
        }
        _ = await identity.form("oauth/token", {**form, "scope": scope} if scope else form)

    await ask(1)
    await ask(1)
    await ask(2, "cases:push")
    await ask(3, "matters:read")
    await ask(4, aud="elsewhere")
    await ask(5, exp=1)
    withdrawal = {"reason": "系统下线, 不再对接"}
    _ = await identity.post(f"systems/{client}/withdrawal", play.administrator, body=withdrawal)
    _ = await identity.post(f"systems/{client}/withdrawal", play.administrator, body=withdrawal)
    await ask(6)
    _ = await identity.call("GET", "/internal/revocations")
    await identity.dump("throttle", "used_assertion", "revocation")
    golden.section("Housekeeping")
    golden.clock.move("2026-03-20T10:00")
    await identity.timer("prune")
    await finish(play)
