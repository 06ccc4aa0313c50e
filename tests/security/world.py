"""Real objects of every service, and everybody who may ask for them.

For the sweep of object access and for schemathesis.

An operation with an id in its path needs an object. `HOLDINGS` tells by the path which object that
is, who may rightly reach it, and how it is made; it is found by the path's beginning, so that a new
operation on a known object is covered unnamed.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import schemathesis
from fastapi import APIRouter
from joserfc.jwk import OKPKey

from deploy.embedded import SERVICES
from services.licenses.model.identifiers import qr_token
from shared import clock
from shared.events.base import seal
from shared.events.cases import CaseAccepted, CaseClosed
from shared.security.crypto import lookup_hash, use_key
from tests.builders.bundles import LICENCE, TRADE, a_bundle, the_licence, the_trade_register
from tests.builders.events import a_fact
from tests.builders.matters import CITY, DEPARTMENT, a_document
from tests.builders.ratings import RATER
from tests.builders.ratings import Bureau as RatingBureau
from tests.builders.subscriber import Subscriber, listening
from tests.cases.conftest import StackFixture
from tests.cases.test_bundles import BundleStackFixture
from tests.conftest import ClientFactory, Headers, ServiceClient, TokenFactory
from tests.exchange.batching import Bureau as SigningBureau
from tests.exchange.batching import Desk, a_verdict, jwk
from tests.exchange.conftest import RECEIVED, TYPES, Bureau
from tests.exchange.conftest import a_case as a_case_of_a_peer
from tests.identity.conftest import Play
from tests.identity.test_mandates import granted
from tests.identity.test_organisations import OTHER_ID, OTHER_PHONE, register, verified
from tests.licenses.conftest import TYPE, Office, a_type
from tests.matters.conftest import Keeper
from tests.matters.test_search_and_import import a_csv, row
from tests.ratings.giving import Giving, a_case

STAFF = ["window_clerk", "approver", "leader", "delivery", "department_head", "rating_handler"]
ELSEWHERE = "540102000000"
NEXT_DOOR = "11540100MB0Q01905U"
SCOPES = (
    "cases:push matters:read licenses:read licenses:issue ratings:push"
    " exchange:events exchange:push"
)
PHONE = "13989007788"
AUTH_CODE = "SWEEPSWEEPSWEEP1"
APPLICANT: dict[str, str] = {
    "kind": "person",
    "name": "德吉措姆",
    "id_number": "540102199001010011",
    "phone": PHONE,
}


def people(token: TokenFactory, owner: str, peer: str) -> dict[str, Headers]:
    """Everybody: the owner, the staff of her case's department, the administrator, and others.

    The others have no business with her objects.
    """
    return {
        "owner": token(sub=owner),
        "department": token(kind="staff", roles=STAFF, area=CITY, department=DEPARTMENT),
        "administrator": token(
            kind="staff", roles=["administrator"], area=CITY, department=NEXT_DOOR
        ),
        "stranger": token(),
        "organisation": token(kind="organisation"),
        "next_door": token(kind="staff", roles=STAFF, area=CITY, department=NEXT_DOOR),
        "other_area": token(kind="staff", roles=STAFF, area=ELSEWHERE, department=DEPARTMENT),
        "no_role": token(kind="staff", roles=[], area=CITY, department=DEPARTMENT),
        "auditor": token(kind="staff", roles=["auditor"], area=CITY, department=NEXT_DOOR),
        "system": token(kind="system", scope=SCOPES, area=CITY, department=DEPARTMENT),
        "peer": token(kind="system", sub=peer, scope=SCOPES, area=CITY, department=DEPARTMENT),
        # `act` is who signed in, `sub` for whom: an agent of the owner, and one of somebody else.
        "agent": token(sub=owner, act={"sub": str(uuid4())}),
        "agent_of_another": token(act={"sub": str(uuid4())}),
        "anonymous": {},
    }


@dataclass
class Thing:
    """An object: the path parameters that lead to it, and the one that is its id.

    `marks` are words that only those may read who have a right to the object.
    """

    id_name: str
    params: dict[str, str]
    marks: tuple[str, ...] = ()
    nobody: str = "018f0000-0000-7000-8000-000000000000"
    """An id of the same form that nothing has."""


@dataclass
class World:
    """One service with its objects and everybody."""

    service: str
    client: ServiceClient
    people: dict[str, Headers]
    document: dict[str, Any]
    schema: Any
    """The document as schemathesis reads it."""
    things: dict[str, list[Thing]]

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation


@dataclass(frozen=True)
class Holding:
    """Paths that lead to one kind of object, and who may rightly reach it."""

    kind: str
    path: re.Pattern[str]
    rightful: frozenset[str]


def _holding(kind: str, path: str, *rightful: str) -> Holding:
    return Holding(kind, re.compile(path), frozenset(rightful))


HOLDINGS = (
    _holding("case", r"/api/v1/cases/files/\{case_id\}", "owner", "agent", "department"),
    _holding(
        "bundle_case",
        r"/api/v1/cases/bundle-files/\{bundle_case_id\}",
        "owner",
        "agent",
        "department",
    ),
    _holding("light", r"/api/v1/cases/lights/\{light_id\}", "department"),
    _holding("calendar_change", r"/api/v1/cases/calendar/changes/\{change_id\}", "administrator"),
    _holding(
        "organisation", r"/api/v1/identity/organisations/\{organisation_id\}", "owner", "agent"
    ),
    _holding("mandate", r"/api/v1/identity/mandates/\{mandate_id\}", "owner"),
    _holding("system", r"/api/v1/identity/systems/\{account_id\}", "administrator"),
    _holding("session", r"/api/v1/identity/sessions/\{session_id\}", "owner"),
    _holding("staff", r"/api/v1/identity/staff/\{account_id\}", "administrator"),
    _holding(
        "matter", r"/api/v1/matters/(drafts|catalogue)/\{matter_id\}", "department", "administrator"
    ),
    _holding(
        "bundle", r"/api/v1/matters/bundles/(drafts/)?\{bundle_id\}", "department", "administrator"
    ),
    _holding("import", r"/api/v1/matters/imports/\{import_id\}", "administrator"),
    _holding("report", r"/api/v1/assessment/daily-reports/\{day\}", "administrator"),
    _holding("rating", r"/api/v1/ratings/ratings/\{rating_id\}", "owner", "agent", "department"),
    _holding("invitation", r"/api/v1/ratings/invitations/\{token\}", "owner"),
    _holding(
        "invitation_code",
        r"/api/v1/ratings/invitation-codes/\{invitation_id\}",
        "owner",
        "agent",
        "department",
    ),
    _holding(
        "token_batch",
        r"/api/v1/ratings/token-batches/\{batch_id\}",
        "system",
        "peer",
        "administrator",
    ),
    _holding(
        "ticket", r"/api/v1/ratings/tickets/\{ticket_id\}/(outcome|re-rating)", "owner", "agent"
    ),
    _holding("ticket", r"/api/v1/ratings/tickets/\{ticket_id\}", "department"),
    _holding("appeal", r"/api/v1/ratings/appeals/\{appeal_id\}/reviews", "auditor"),
    _holding("appeal", r"/api/v1/ratings/appeals/\{appeal_id\}", "department", "auditor"),
    _holding("publication", r"/api/v1/ratings/publications/\{rating_id\}", "department", "auditor"),
    _holding("peer", r"/api/v1/exchange/peers/\{peer_id\}", "administrator"),
    # Administrators see a subscription, suspend and end it; its endpoint and secret are its peer's
    # alone.
    _holding(
        "endpoint",
        r"/api/v1/exchange/subscriptions/\{subscription_id\}/(activation|secret-rotation)",
        "peer",
    ),
    _holding(
        "subscription",
        r"/api/v1/exchange/subscriptions/\{subscription_id\}",
        "peer",
        "administrator",
    ),
    _holding("schema", r"/api/v1/exchange/schemas/\{event_type\}", "owner"),
    _holding("receipt", r"/api/v1/exchange/batches/\{batch_id\}/receipts/", "peer"),
    _holding("batch", r"/api/v1/exchange/batches/\{batch_id\}", "peer", "administrator"),
    _holding("reconciliation", r"/api/v1/exchange/reconciliations/\{run_id\}", "administrator"),
    _holding(
        "license",
        r"/api/v1/licenses/licenses/\{license_id\}/uses$",
        "owner",
        "department",
        "system",
        "peer",
    ),
    _holding("license", r"/api/v1/licenses/licenses/\{license_id\}", "owner", "department"),
    _holding("signing_job", r"/api/v1/licenses/signing-jobs/\{job_id\}", "department"),
    _holding("license_type", r"/api/v1/licenses/types/\{code\}", "administrator"),
    _holding("check", r"/api/v1/licenses/checks/\{qr_token\}", "owner", "anonymous"),
    _holding("dead_letter", r"/api/v1/[a-z]+/dead-letters/\{event_id\}", "administrator"),
)


BODIES: Mapping[str, Any] = {
    "PUT /api/v1/matters/drafts/{matter_id}": a_document().model_dump(mode="json"),
    "PUT /api/v1/matters/bundles/drafts/{bundle_id}": a_bundle(
        {TRADE: uuid4(), LICENCE: uuid4()}
    ).model_dump(mode="json"),
    "POST /api/v1/matters/bundles/{bundle_id}/personal-guide": {
        "answers": {LICENCE: {"Q1": "rent", "Q2": "yes"}}
    },
    "PUT /api/v1/exchange/subscriptions/{subscription_id}": {"name": "办件", "event_types": TYPES},
    "POST /api/v1/licenses/licenses/{license_id}/change": {
        "fields": {"seats": "9"},
        "reason": "座位数变更",
    },
    "PUT /api/v1/licenses/types/{code}": a_type(trust="B"),
    "POST /api/v1/licenses/licenses/{license_id}/uses": {
        "auth_code": AUTH_CODE,
        "case_number": "C",
        "matter_code": "M",
        "reason": "核验经营资格",
    },
}
"""Bodies of operations on an object.

For these the smallest body that the document allows is refused before the object is looked up.
"""

BODY_IDS: Mapping[str, str] = {
    "POST /api/v1/identity/sessions/organisation organisation_id": (
        "test_others_find_no_such_organisation"
    ),
    "POST /api/v1/identity/oauth/token-exchange subject_token": (
        "test_nobody_else_can_use_or_take_a_mandate"
    ),
    "POST /api/v1/identity/mandates matters": "published matters are public by nature",
    "POST /api/v1/cases/applications matter_id": "published matters are public by nature",
    "POST /api/v1/cases/bundle-applications bundle_id": "published bundles are public by nature",
    "POST /api/v1/cases/bundle-applications upload_id": (
        "test_wrong_answers_and_foreign_uploads_come_together"
    ),
    "POST /api/v1/matters/bundles/drafts matter_id": (
        "published matters are public by nature, others are told as a breach"
    ),
    "PUT /api/v1/matters/bundles/drafts/{bundle_id} matter_id": (
        "published matters are public by nature"
    ),
    "POST /api/v1/cases/applications upload_id": (
        "test_upload_of_another_is_as_one_that_is_not_there"
    ),
    "POST /api/v1/cases/files/{case_id}/corrections upload_id": (
        "test_upload_of_another_is_as_one_that_is_not_there"
    ),
    "POST /api/v1/cases/license-matches matter_id": "published matters are public by nature",
    "POST /api/v1/cases/applications license_id": (
        "test_licence_of_another_is_as_one_that_is_not_there"
    ),
    "POST /api/v1/cases/files/{case_id}/corrections license_id": (
        "test_licence_of_another_is_as_one_that_is_not_there"
    ),
    "POST /api/v1/matters/personal-guides matter_id": (
        "test_guide_of_an_unpublished_matter_is_as_one_that_is_not_there"
    ),
    "POST /api/v1/exchange/peers account_id": "administrators alone; see the sweep of roles",
    "PUT /api/v1/exchange/peers/{peer_id} account_id": (
        "administrators alone; see the sweep of roles"
    ),
    "POST /api/v1/exchange/subscriptions/{subscription_id}/redeliveries event_ids": (
        "test_event_of_another_is_not_driven"
    ),
    "GET /api/v1/exchange/events subscription": "test_another_peers_subscription_is_not_there",
    **{
        f"POST /api/v1/{service}/dead-letters/redrives event_ids": (
            "administrators alone; see the sweep of roles"
        )
        for service in SERVICES
    },
}
"""Ids inside bodies and queries.

Each names the test, or the reason why there is nothing to keep from anybody.
"""


def holding_of(path: str) -> Holding | None:
    return next((holding for holding in HOLDINGS if holding.path.match(path)), None)


Made = tuple[str, dict[str, list[Thing]]]
"""The owner's account and the objects by kind."""


async def _cases(client: ServiceClient, token: TokenFactory) -> Made:
    """Her cases, received, waiting for her correction, and decided."""
    owner = str(uuid4())
    stack = StackFixture(client, token)
    stack.citizen = token(sub=owner)
    await stack.publish()
    clerk, leader = stack.officer("window_clerk"), stack.officer("leader")
    received, correcting, decided = [await stack.apply(applicant=APPLICANT) for _ in range(3)]
    correcting = await stack.do(
        correcting, "correction-requests", clerk, {"items": [{"text": "缺少联系人"}]}
    )
    decided = await stack.do(decided, "acceptance", clerk)
    for _ in range(2):
        decided = await stack.do(
            decided, "reviews", stack.officer("approver"), {"opinion": "agree", "text": "符合条件"}
        )
    decided = await stack.do(decided, "decision", leader, {"result": "0"})
    administrator = token(kind="staff", roles=["administrator"])
    # Long after every due day, so that lights burn over the cases that wait.
    _ = await stack.clocks(clock.local_date(clock.now()) + timedelta(days=120))
    light = (await stack.get("lights", stack.officer("department_head")))["items"][0]
    days = {"days": [{"day": "2027-03-01", "is_working": False, "note": "扫仓盘点日"}]}
    change = await stack.client.put("/api/v1/cases/calendar/days", json=days, headers=administrator)
    marks = (APPLICANT["name"], APPLICANT["id_number"], PHONE)
    bundles = BundleStackFixture(client, token)
    await bundles.publish_matter(TRADE, the_trade_register())
    await bundles.publish_matter(LICENCE, the_licence())
    await bundles.publish_bundle()
    parent = await bundles.apply_bundle(stack.citizen, applicant=APPLICANT)
    cases = [
        Thing("case_id", {"case_id": case["id"], "code": "M1"}, (*marks, case["number"]))
        for case in (received, correcting, decided)
    ]
    return owner, {
        "case": cases,
        "bundle_case": [
            Thing("bundle_case_id", {"bundle_case_id": parent["id"]}, (*marks, parent["number"]))
        ],
        "light": [Thing("light_id", {"light_id": light["id"]})],
        "calendar_change": [
            Thing("change_id", {"change_id": change.raise_for_status().json()["id"]})
        ],
    }


async def _identity(client: ServiceClient, token: TokenFactory) -> Made:
    """Her session, and a colleague."""
    play = Play(client, token(kind="staff", roles=["administrator"]))
    person = await verified(play, PHONE, APPLICANT["id_number"])
    connection = await client.database.connect()
    found = await connection.fetchrow("SELECT id, account_id FROM session")
    await connection.close()
    assert found is not None
    organisation = (await register(client, person)).raise_for_status().json()["id"]
    system = {
        "name": "房管系统",
        "area_code": CITY,
        "department_code": "D1",
        "scopes": ["cases:push"],
    }
    key = OKPKey.generate_key("Ed25519").as_dict(private=False)
    registered = await client.post(
        "/api/v1/identity/systems",
        json={**system, "public_key": {name: key[name] for name in ("kty", "crv", "x")}},
        headers={**play.administrator, "Idempotency-Key": "sweep-system"},
    )
    staff = await play.staff("sweep.clerk")
    given = await granted(client, person, agent_name="索朗平措", agent_id_number=OTHER_ID)
    other = await verified(play, OTHER_PHONE, OTHER_ID)
    taken = await granted(
        client, other, agent_name="卓玛央金", agent_id_number=APPLICANT["id_number"]
    )
    return str(found["account_id"]), {
        "session": [Thing("session_id", {"session_id": str(found["id"])}, (PHONE,))],
        "organisation": [
            Thing("organisation_id", {"organisation_id": organisation}, ("拉萨甜茶有限公司",))
        ],
        "mandate": [Thing("mandate_id", {"mandate_id": one["id"]}) for one in (given, taken)],
        "system": [
            Thing("account_id", {"account_id": registered.raise_for_status().json()["client_id"]})
        ],
        "staff": [Thing("account_id", {"account_id": staff["id"]}, ("sweep.clerk", "扎西顿珠"))],
    }


async def _matters(client: ServiceClient, token: TokenFactory) -> Made:
    """A published matter whose next version is a draft, and an import with a refused row."""
    administrator = token(kind="staff", roles=["administrator"])
    directory = {
        "areas": [{"code": CITY, "name": {"zh": "拉萨市"}}],
        "departments": [{"area_code": CITY, "code": DEPARTMENT, "name": {"zh": "市场监督管理局"}}],
    }
    _ = (
        await client.put("/api/v1/matters/directory", json=directory, headers=administrator)
    ).raise_for_status()
    keeper = Keeper(
        client, token(kind="staff", roles=["department_head"], area=CITY, department=DEPARTMENT)
    )
    matter = await keeper.publish(a_document())
    words = "尚未公布的条件"
    draft = a_document(conditions=[{"code": "C9", "text": {"zh": words}}])
    _ = (await keeper.change(matter["id"], matter["revision"], draft)).raise_for_status()
    register = await keeper.publish(the_trade_register())
    bundle = a_bundle({TRADE: UUID(register["id"]), LICENCE: UUID(matter["id"])}).model_dump(
        mode="json"
    )
    keyed = {**keeper.headers, "Idempotency-Key": "sweep-bundle"}
    drafted = await client.post("/api/v1/matters/bundles/drafts", json=bundle, headers=keyed)
    head = drafted.raise_for_status().json()
    published = await keeper.act(f"bundles/drafts/{head['id']}/publication", head["revision"])
    versioned = {
        **keeper.headers,
        "If-Match": f'"{published.raise_for_status().json()["revision"]}"',
    }
    secret = {**bundle, "summary": "尚未公布的说明"}
    path = f"/api/v1/matters/bundles/drafts/{head['id']}"
    _ = (await client.put(path, json=secret, headers=versioned)).raise_for_status()
    headers = {**administrator, "Idempotency-Key": "sweep-import"}
    content = a_csv([row("好的事项", "L-1"), row("未知区划", "L-4", area_code="540999000000")])
    imported = await client.post("/api/v1/matters/imports", content=content, headers=headers)
    return str(uuid4()), {
        "matter": [
            Thing("matter_id", {"matter_id": matter["id"], "before": "1", "after": "2"}, (words,))
        ],
        "bundle": [Thing("bundle_id", {"bundle_id": head["id"]}, (secret["summary"],))],
        "import": [
            Thing("import_id", {"import_id": imported.raise_for_status().json()["id"]}, ("L-4",))
        ],
    }


async def _assessment(client: ServiceClient, token: TokenFactory) -> Made:
    """A published day."""
    path = "/api/v1/assessment/daily-reports/2026-11-20/publication"
    headers = {**token(kind="staff", roles=["administrator"]), "Idempotency-Key": "sweep-report"}
    _ = (await client.post(path, headers=headers)).raise_for_status()
    return str(uuid4()), {"report": [Thing("day", {"day": "2026-11-20"}, nobody="2026-11-21")]}


async def _licenses(client: ServiceClient, token: TokenFactory) -> Made:
    """Her licence with an authorisation.

    Also a signing job of its department, its type, and the token of its QR code.
    """
    office = Office(client, token)
    _ = (await office.publish()).raise_for_status()
    account, owner = await office.verify(APPLICANT["id_number"], APPLICANT["name"])
    holder = {name: APPLICANT[name] for name in ("kind", "name", "id_number")}
    made = await office.issued(holder=holder)
    path, headers = (
        f"/api/v1/licenses/licenses/{made['id']}",
        {**owner, "Idempotency-Key": "sweep-authorisation"},
    )
    allowed = await client.post(
        f"{path}/authorisations", json={"matter_code": "M"}, headers=headers
    )
    job = await client.post(
        "/api/v1/licenses/signing-jobs",
        json={},
        headers={**office.officer, "Idempotency-Key": "sweep-job"},
    )
    with use_key(b"k" * 32):
        qr = qr_token(UUID(made["id"]), 1)
        # A code that the sweep knows; a real one is random and shown to the holder alone.
        known = lookup_hash(AUTH_CODE, purpose="use_authorisation.code")
    _ = await office.fetch("UPDATE use_authorisation SET code_hash = $1", known)
    params = {"license_id": made["id"], "authorisation_id": allowed.raise_for_status().json()["id"]}
    return str(account), {
        "license": [
            Thing(
                "license_id",
                params,
                (APPLICANT["name"], APPLICANT["id_number"], made["identifier"]),
            )
        ],
        "signing_job": [Thing("job_id", {"job_id": job.raise_for_status().json()["id"]})],
        "license_type": [Thing("code", {"code": TYPE, "version": "1"}, nobody=f"{TYPE[:18]}999")],
        "check": [Thing("qr_token", {"qr_token": qr}, nobody="A" * 40)],
    }


async def _ratings(client: ServiceClient, token: TokenFactory) -> Made:
    """The end of her case, rated with her name in the words, and one that is not rated.

    Also batches of tokens, and her bad ratings: one with an appeal, one with words that will be
    published.
    """
    bureau, giving = RatingBureau(client, token), Giving(client, token)
    owner = str(bureau.owner)
    accepted, closed = [
        a_case(kind, "RATED-1", account_id=owner) for kind in (CaseAccepted, CaseClosed)
    ]
    await giving.tell(accepted, closed)
    said = {"grade": 1, "pf": "1", "sub_channel": "site", "text": "我叫洛桑曲珍，请回电13989005566"}
    body = {**said, "case_number": "RATED-1", "service_number": 2}
    rating = (
        await client.post("/api/v1/ratings/ratings", json=body, headers=token(sub=owner))
    ).raise_for_status()
    links = [link for link in await giving.links() if link]
    batches = [await _a_batch(giving) for _ in range(2)]
    unrated = (await giving.rows("SELECT id FROM invitation WHERE rated_at IS NULL"))[0]["id"]
    marks = ("洛桑曲珍", "13989005566")
    tickets = [await bureau.open() for _ in range(2)]
    appeal = await bureau.appeal(tickets[0])
    shown = await bureau.rate(clock.now(), text="窗口人员很耐心")
    return owner, {
        "rating": [Thing("rating_id", {"rating_id": rating.json()["id"]}, (*marks, "RATED-1"))],
        "invitation_code": [Thing("invitation_id", {"invitation_id": str(unrated)})],
        "invitation": [Thing("token", {"token": link}) for link in links],
        "token_batch": [Thing("batch_id", {"batch_id": batch}) for batch in batches],
        "ticket": [
            Thing("ticket_id", {"ticket_id": one["id"]}, tuple(RATER.values())) for one in tickets
        ],
        "appeal": [Thing("appeal_id", {"appeal_id": appeal["id"]}, (appeal["reasons"],))],
        "publication": [Thing("rating_id", {"rating_id": str(shown.id)})],
    }


async def _a_batch(giving: Giving) -> str:
    place = {"area_code": CITY, "department_code": DEPARTMENT, "hall": "专网大厅", "window": "Z1"}
    body = {**place, "size": 2, "expires_on": str(clock.local_date(clock.now()))}
    headers = {**giving.system, "Idempotency-Key": uuid4().hex}
    return (
        (await giving.client.post("/api/v1/ratings/token-batches", json=body, headers=headers))
        .raise_for_status()
        .json()["id"]
    )


async def _exchange(client: ServiceClient, token: TokenFactory) -> Made:
    """A peer with a key and its subscriptions by webhook (one delivery failed) and by pull.

    Also its batch with a record that came back, and a reconciliation.
    """
    bureau = Bureau(client, token)
    peer = await bureau.register(name="不动产登记中心", resources=["cases"])
    signing = SigningBureau(code=peer["code"], account=UUID(bureau.account))
    key = {"kid": signing.kid, "x": jwk(signing.key, signing.kid)["x"]}
    versioned = {**bureau.administrator, "Idempotency-Key": "sweep-key", "If-Match": '"1"'}
    pinned = await client.post(
        f"/api/v1/exchange/peers/{peer['id']}/keys", json=key, headers=versioned
    )
    with listening(Subscriber(status=200)) as subscriber:
        hook = await bureau.hooked(subscriber, name="不外传的订阅")
        subscriber.status = 503
        _ = await bureau.happen(a_case_of_a_peer())
        _ = await bureau.send()
    pull = await bureau.subscribe(name="不外传的订阅")
    await bureau.endpoints.close()
    marks = ("不外传的订阅",)
    return bureau.account, {
        "peer": [
            Thing(
                "peer_id",
                {"peer_id": pinned.raise_for_status().json()["id"], "kid": "k1"},
                ("不动产登记中心",),
            )
        ],
        "subscription": [
            Thing("subscription_id", {"subscription_id": one["id"]}, marks) for one in (hook, pull)
        ],
        "endpoint": [
            Thing("subscription_id", {"subscription_id": one["id"]}) for one in (hook, pull)
        ],
        "schema": [
            Thing(
                "event_type", {"event_type": RECEIVED}, nobody="cn.gov.lhasa.cases.case.unknown.v1"
            )
        ],
        **await _batch_and_reconciliation(Desk(client, token, signing)),
    }


async def _batch_and_reconciliation(desk: Desk) -> dict[str, list[Thing]]:
    sent = await desk.send(b'{"source_number":"FG-1"}\nno record\n', 2, number="sweep-batch")
    assert sent.status_code == 201, sent.text
    ((fact, _),) = await desk.chunks()
    await desk.judge(a_verdict(fact, 1))
    days = {"resource": "cases", "first_day": "2026-11-20", "last_day": "2026-11-21"}
    headers = {**desk.administrator, "Idempotency-Key": "sweep-run"}
    run = await desk.client.post("/api/v1/exchange/reconciliations", json=days, headers=headers)
    connection = await desk.client.database.connect()
    _ = await connection.execute(
        "UPDATE reconciliation SET state = 'needs_approval',"
        " statement = 'ours', peer_statement = 'theirs'"
    )
    await connection.close()
    batch = {"batch_id": str(fact.batch_id)}
    signature = (await desk.get(f"batches/{fact.batch_id}/receipts/2")).text.rpartition(".")[2]
    return {
        "batch": [Thing("batch_id", batch, ("sweep-batch",))],
        "receipt": [Thing("batch_id", {**batch, "stage": "2"}, (signature,))],
        "reconciliation": [Thing("run_id", {"run_id": run.raise_for_status().json()["id"]})],
    }


MAKERS: Mapping[str, Callable[[ServiceClient, TokenFactory], Awaitable[Made]]] = {
    "cases": _cases,
    "identity": _identity,
    "matters": _matters,
    "licenses": _licenses,
    "ratings": _ratings,
    "exchange": _exchange,
    "assessment": _assessment,
}


async def _dead_letter(client: ServiceClient) -> Thing:
    """A fact that nobody here could handle, set aside."""
    mark = "sweep-dead-letter"
    event_id, payload = seal(a_fact(method=mark))
    connection = await client.database.connect()
    _ = await connection.execute(
        "INSERT INTO dead_letter (event_id, topic, key, type, payload, error, gave_up)"
        " VALUES ($1, 'tongban.identity', 'k', 'x.v1', $2, 'Poison', true)",
        event_id,
        payload,
    )
    await connection.close()
    return Thing("event_id", {"event_id": str(event_id)}, (mark,))


async def build_world(
    service: str, client_of: ClientFactory, token: TokenFactory, folder: Path, *planted: APIRouter
) -> World:
    """The service with its objects, and operations planted by a test.

    A service without a maker fails and says what to add.
    """
    assert service in MAKERS, (
        f"tests/security/world.py: add to MAKERS how the objects of {service} are made"
    )
    own = {"storage_url": str(folder / "uploads")} if service == "cases" else {}
    client = await client_of(service, development=True, **own)
    owner, things = await MAKERS[service](client, token)
    things["dead_letter"] = [await _dead_letter(client)]
    for router in planted:
        client.app.include_router(router)
    document = client.app.openapi()
    # What exchange keeps belongs to a peer, whose system is another account everywhere else.
    peer = owner if service == "exchange" else str(uuid4())
    return World(
        service,
        client,
        people(token, owner, peer),
        document,
        schemathesis.openapi.from_dict(document),
        things,
    )
