"""A hundred equal submissions at the same moment have exactly one effect.

This holds on every endpoint that creates or acts once.

The endpoints come from the OpenAPI documents: a new one without a scenario, or without a reason why
it needs none, fails.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest

from deploy.processes import SERVICES
from shared import clock
from tests.builders.bundles import LICENCE, TRADE, a_bundle, the_licence, the_trade_register
from tests.builders.matters import CITY, DEPARTMENT, a_document
from tests.builders.ratings import CLOSING
from tests.builders.ratings import Bureau as RatingBureau
from tests.builders.subscriber import listening
from tests.cases.conftest import StackFixture
from tests.cases.test_bundles import BundleStackFixture
from tests.cases.test_materials import promising, with_gap
from tests.cases.test_push import a_record
from tests.cases.test_suspension import EXTENSION, SUSPENSION
from tests.conftest import ClientFactory, Headers, ServiceClient, TokenFactory
from tests.exchange.conftest import TYPES, Bureau
from tests.licenses.conftest import HOLDER, TYPE, Office
from tests.matters.conftest import Keeper
from tests.matters.test_search_and_import import a_csv, row
from tests.ratings.giving import Giving

API = Path(__file__).resolve().parents[2] / "docs/api"
PARALLEL = 100


@dataclass
class Submission:
    """What is sent a hundred times.

    `facts` and `audit` are the numbers of facts and audit rows that one of it leaves.
    """

    client: ServiceClient
    path: str
    headers: Headers
    facts: int
    audit: int = 1
    json: Any = None
    content: bytes | None = None

    async def send(self) -> httpx.Response:
        return await self.client.post(
            self.path, json=self.json, content=self.content, headers=self.headers
        )


class Desk:
    """Every caller with a platform of their own in this process."""

    def __init__(self, client_of: ClientFactory, token: TokenFactory, folder: Path) -> None:
        self._client_of = client_of
        self.token = token
        self._folder = folder
        self.head = token(kind="staff", roles=["department_head"], area=CITY, department=DEPARTMENT)
        self.administrator = token(kind="staff", roles=["administrator"])

    async def stack(self) -> StackFixture:
        client = await self._client_of("cases", development=True, storage_url=str(self._folder))
        stack = StackFixture(client, self.token)
        await stack.publish()
        return stack

    async def matters(self) -> Keeper:
        client = await self._client_of("matters")
        place = {"areas": [{"code": CITY, "name": {"zh": "拉萨市", "bo": "ལྷ་ས།"}}]}
        department = {"area_code": CITY, "code": DEPARTMENT, "name": {"zh": "市场监督管理局"}}
        stored = await client.put(
            "/api/v1/matters/directory",
            json={**place, "departments": [department]},
            headers=self.administrator,
        )
        assert stored.status_code == 204, stored.text
        return Keeper(client, self.head)

    async def service(self, name: str) -> ServiceClient:
        return await self._client_of(name, development=True)


@pytest.fixture
def desk(client_of: ClientFactory, token: TokenFactory, tmp_path: Path) -> Desk:
    return Desk(client_of, token, tmp_path)


Scenario = Callable[[Desk], Awaitable[Submission]]
FILES = "/api/v1/cases/files/{case_id}"
RATINGS = "/api/v1/ratings"
CATALOGUE = "/api/v1/matters/catalogue/{matter_id}"
DRAFTS = "/api/v1/matters/drafts"
BUNDLES = "/api/v1/matters/bundles"


async def an_application(desk: Desk) -> Submission:
    stack = await desk.stack()
    body = await stack.application(stack.citizen)
    return Submission(
        stack.client,
        "/api/v1/cases/applications",
        {**stack.citizen, "Idempotency-Key": "k"},
        2,
        json=body,
    )


async def a_bundle_application(desk: Desk) -> Submission:
    stack = BundleStackFixture((await desk.stack()).client, desk.token)
    await stack.publish_matter(TRADE, the_trade_register())
    await stack.publish_matter(LICENCE, the_licence())
    await stack.publish_bundle()
    body = await stack.bundle_application(stack.citizen)
    headers = {**stack.citizen, "Idempotency-Key": "k"}
    return Submission(
        stack.client, "/api/v1/cases/bundle-applications", headers, 3, audit=3, json=body
    )


async def a_push(desk: Desk) -> Submission:
    stack = await desk.stack()
    headers = desk.token(kind="system", scope="cases:push", area=CITY, department=DEPARTMENT)
    body = {"source_system": "fangguan", "records": [a_record(number) for number in range(10)]}
    return Submission(
        stack.client, "/api/v1/cases/imports", {**headers, "Idempotency-Key": "k"}, 11, json=body
    )


def an_act(
    path: str, role: str, facts: int, body: Any = None, before: tuple[str, ...] = ()
) -> Scenario:
    """An act on a case that has come as far as `before` says."""

    async def prepare(desk: Desk) -> Submission:
        stack = await desk.stack()
        case = await stack.apply()
        for step in before:
            case = await stack.do(case, step, stack.officer(STEPS[step][0]), STEPS[step][1])
        headers = stack.citizen if role == "citizen" else stack.officer(role)
        sent = body
        if path == "corrections":
            upload = (await stack.upload(stack.citizen)).json()["id"]
            sent = {"materials": [{"code": "M4", "upload_id": upload}]}
        versioned = {**headers, "If-Match": f'"{case["revision"]}"'}
        return Submission(
            stack.client, f"/api/v1/cases/files/{case['id']}/{path}", versioned, facts, json=sent
        )

    return prepare


REASONS = {"reasons": "不属于本机关职权范围"}
STEPS: dict[str, tuple[str, Any]] = {
    "acceptance": ("window_clerk", None),
    "reviews": ("approver", {"opinion": "agree", "text": "符合条件"}),
    "suspension": ("approver", SUSPENSION),
    "decision": ("leader", {"result": "0"}),
    "correction-requests": ("window_clerk", {"items": [{"text": "缺件"}]}),
}
REVIEWED = ("acceptance", "reviews", "reviews")


async def a_draft(desk: Desk) -> Submission:
    keeper = await desk.matters()
    headers = {**desk.head, "Idempotency-Key": "k"}
    return Submission(keeper.client, DRAFTS, headers, 0, json=a_document().model_dump(mode="json"))


async def a_bundle_draft(desk: Desk) -> Submission:
    keeper = await desk.matters()
    matters = {TRADE: uuid4(), LICENCE: uuid4()}
    headers = {**desk.head, "Idempotency-Key": "k"}
    return Submission(
        keeper.client,
        f"{BUNDLES}/drafts",
        headers,
        0,
        json=a_bundle(matters).model_dump(mode="json"),
    )


def a_bundle_step(step: str) -> Scenario:
    """Publication or withdrawal of a bundle."""

    async def prepare(desk: Desk) -> Submission:
        keeper = await desk.matters()
        heads = {
            TRADE: await keeper.publish(the_trade_register()),
            LICENCE: await keeper.publish(the_licence()),
        }
        document = a_bundle({code: UUID(head["id"]) for code, head in heads.items()}).model_dump(
            mode="json"
        )
        headers = {**desk.head, "Idempotency-Key": "draft"}
        bundle = (
            await keeper.client.post(f"{BUNDLES}/drafts", json=document, headers=headers)
        ).json()
        path = f"drafts/{bundle['id']}/publication"
        if step == "withdrawal":
            bundle = (await keeper.act(f"bundles/{path}", bundle["revision"])).json()
            path = f"{bundle['id']}/withdrawal"
        body = {"reason": "事项整合, 另行公布"} if step == "withdrawal" else None
        versioned = {**desk.head, "If-Match": f'"{bundle["revision"]}"'}
        return Submission(keeper.client, f"{BUNDLES}/{path}", versioned, 1, json=body)

    return prepare


async def an_import(desk: Desk) -> Submission:
    keeper = await desk.matters()
    content = a_csv([row(f"事项{number}", f"L-{number}") for number in range(10)])
    headers = {**desk.administrator, "Idempotency-Key": "k"}
    return Submission(
        keeper.client, "/api/v1/matters/imports", headers, 10, audit=11, content=content
    )


def a_step(step: str, facts: int) -> Scenario:
    """Review or publication of a draft."""

    async def prepare(desk: Desk) -> Submission:
        keeper = await desk.matters()
        draft = (await keeper.draft(a_document())).json()
        if step == "publication":
            draft = (await keeper.act(f"drafts/{draft['id']}/review", draft["revision"])).json()
        headers = {**desk.head, "If-Match": f'"{draft["revision"]}"'}
        return Submission(keeper.client, f"{DRAFTS}/{draft['id']}/{step}", headers, facts)

    return prepare


def a_closing(step: str) -> Scenario:
    async def prepare(desk: Desk) -> Submission:
        keeper = await desk.matters()
        matter = await keeper.publish(a_document())
        headers = {**desk.head, "If-Match": f'"{matter["revision"]}"'}
        path = f"/api/v1/matters/catalogue/{matter['id']}/{step}"
        return Submission(keeper.client, path, headers, 1, json={"reason": "法规修订, 暂停办理"})

    return prepare


async def a_supplement(desk: Desk) -> Submission:
    """The material that was promised at intake (容缺)."""
    stack = await desk.stack()
    await stack.publish(with_gap(), revision=2)
    case = (await stack.post(await promising(stack), stack.citizen)).json()
    case = await stack.do(case, "acceptance", stack.officer("window_clerk"))
    upload = (await stack.upload(stack.citizen)).json()["id"]
    headers = {**stack.citizen, "If-Match": f'"{case["revision"]}"'}
    body = {"materials": [{"code": "M3", "upload_id": upload}]}
    return Submission(
        stack.client, f"/api/v1/cases/files/{case['id']}/supplements", headers, 0, json=body
    )


async def an_answer_to_a_light(desk: Desk) -> Submission:
    stack = await desk.stack()
    _ = await stack.accepted()
    _ = await stack.clocks(clock.local_date(clock.now()) + timedelta(days=60))
    light = (await stack.get("lights", stack.officer("leader"), open=True))["items"][0]
    headers = {**stack.officer("leader"), "If-Match": f'"{light["revision"]}"'}
    body = {"text": "材料核验延误, 今日办结"}
    return Submission(
        stack.client, f"/api/v1/cases/lights/{light['id']}/answer", headers, 1, json=body
    )


def a_report(step: str, body: Any = None) -> Scenario:
    """日发布 of a day, or a further revision of it."""

    async def prepare(desk: Desk) -> Submission:
        client, path = (
            await desk.service("assessment"),
            "/api/v1/assessment/daily-reports/2026-03-10",
        )
        supervisor = desk.token(kind="staff", roles=["supervisor"], area=CITY)
        if step == "revisions":
            first = await client.post(
                f"{path}/publication", headers={**supervisor, "Idempotency-Key": "first"}
            )
            assert first.status_code == 201, first.text
        return Submission(
            client, f"{path}/{step}", {**supervisor, "Idempotency-Key": "k"}, 1, json=body
        )

    return prepare


def an_account(path: str, body: dict[str, Any]) -> Scenario:
    """A member of staff or a system, made by an administrator."""

    async def prepare(desk: Desk) -> Submission:
        client = await desk.service("identity")
        content = {**body, "area_code": CITY, "department_code": DEPARTMENT}
        headers = {**desk.administrator, "Idempotency-Key": "k"}
        return Submission(client, path, headers, 2 if path.endswith("staff") else 1, json=content)

    return prepare


async def a_rating(desk: Desk) -> Submission:
    """By the link that came in a message."""
    giving = Giving(await desk.service("ratings"), desk.token)
    link = await giving.invited()
    body = {"token": link, "grade": 5, "tags": ["517"], "pf": "7", "sub_channel": "sms_link"}
    return Submission(giving.client, f"{RATINGS}/ratings", {"Idempotency-Key": "k"}, 1, json=body)


async def a_visit(desk: Desk) -> Submission:
    giving = Giving(await desk.service("ratings"), desk.token)
    day = str(clock.local_date(clock.now()))
    body = {"hall": "大厅", "window": "A1", "queue_number": "A012", "day": day}
    return Submission(
        giving.client, f"{RATINGS}/visits", {**giving.clerk, "Idempotency-Key": "k"}, 1, json=body
    )


async def a_token_batch(desk: Desk) -> Submission:
    giving = Giving(await desk.service("ratings"), desk.token)
    place = {"area_code": CITY, "department_code": DEPARTMENT, "hall": "专网大厅", "window": "Z1"}
    body = {**place, "size": 5, "expires_on": str(clock.local_date(clock.now()))}
    headers = {**giving.system, "Idempotency-Key": "k"}
    return Submission(giving.client, f"{RATINGS}/token-batches", headers, 0, json=body)


async def a_download(desk: Desk) -> Submission:
    ordered = await a_token_batch(desk)
    batch = (await ordered.send()).json()["id"]
    path = f"{RATINGS}/token-batches/{batch}/download"
    headers = {"Authorization": ordered.headers["Authorization"]}
    return Submission(ordered.client, path, headers, 0)


LOOP = "/api/v1/ratings"
TICKETS = f"{LOOP}/tickets/{{ticket_id}}"
APPEAL = {"ground": "malicious", "reasons": "评价人并未办理该事项"}
VERDICT = {"agrees": True, "reasons": "查阅叫号与监控记录"}
VERIFIED, CALLED = {"confirmed": True, "words": "情况属实"}, {"reached": True, "words": "电话回访"}
COMPLEX = {
    "kind": "complex",
    "words": "分步整改",
    "reason": "涉及多部门系统改造",
    "ledger": "台账-12",
}


def a_ticket(act: str, facts: int, body: Any, *before: str, audit: int = 1) -> Scenario:
    """An act on a bad rating's ticket that has come as far as `before` says."""

    async def prepare(desk: Desk) -> Submission:
        bureau = RatingBureau(await desk.service("ratings"), desk.token)
        ticket = await bureau.open()
        acts = {
            "verify": bureau.verify,
            "call": bureau.call,
            "plan": bureau.plan,
            "complex": lambda one: bureau.plan(one, **COMPLEX),
            "complete": bureau.complete,
        }
        for step in before:
            ticket = await acts[step](ticket)
        heads = {
            "re-rating": bureau.rater,
            "rectification/approval": bureau.officer("department_head"),
        }
        headers = {**heads.get(act, bureau.handler), "If-Match": f'"{ticket["revision"]}"'}
        return Submission(
            bureau.client, f"{LOOP}/tickets/{ticket['id']}/{act}", headers, facts, audit, json=body
        )

    return prepare


async def a_review_of_an_appeal(desk: Desk) -> Submission:
    bureau = RatingBureau(await desk.service("ratings"), desk.token)
    appeal = await bureau.review(await bureau.appeal(await bureau.open()))
    headers = {**bureau.reviewer(), "If-Match": f'"{appeal["revision"]}"'}
    return Submission(
        bureau.client, f"{LOOP}/appeals/{appeal['id']}/reviews", headers, 1, 2, json=VERDICT
    )


async def a_moderation(desk: Desk) -> Submission:
    bureau = RatingBureau(await desk.service("ratings"), desk.token)
    rating = await bureau.rate(clock.now(), text="广告请加群")
    body = {"reason": "advertisement", "words": "含有广告内容"}
    headers = {**bureau.handler, "If-Match": '"1"'}
    return Submission(
        bureau.client, f"{LOOP}/publications/{rating.id}/moderation", headers, 0, json=body
    )


STAFF = {"username": "clerk.one", "name": "扎西顿珠", "roles": ["window_clerk"]}
PUBLIC_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
BUREAU_SYSTEM = {"name": "市场监管业务系统", "scopes": ["cases:push"], "public_key": PUBLIC_KEY}


EXCHANGE = "/api/v1/exchange"
SUBSCRIPTION = f"{EXCHANGE}/subscriptions/{{subscription_id}}"
HOOK = {
    "name": "办件",
    "mode": "webhook",
    "event_types": TYPES,
    "endpoint": "http://127.0.0.1:9/hook",
}


async def a_bureau(desk: Desk) -> Bureau:
    bureau = Bureau(await desk.service("exchange"), desk.token)
    _ = await bureau.register()
    return bureau


async def a_peer(desk: Desk) -> Submission:
    client = await desk.service("exchange")
    body = {
        "code": "b1",
        "name": "房管局",
        "kind": "bureau",
        "area_code": CITY,
        "department_code": DEPARTMENT,
    }
    headers = {**desk.administrator, "Idempotency-Key": "k"}
    return Submission(client, f"{EXCHANGE}/peers", headers, 0, json=body)


async def a_key(desk: Desk) -> Submission:
    bureau = await a_bureau(desk)
    headers = {**desk.administrator, "Idempotency-Key": "k", "If-Match": '"1"'}
    body = {"kid": "k1", "x": PUBLIC_KEY["x"]}
    return Submission(
        bureau.client, f"{EXCHANGE}/peers/{bureau.peer['id']}/keys", headers, 0, json=body
    )


async def a_subscription(desk: Desk) -> Submission:
    bureau = await a_bureau(desk)
    headers = {**bureau.headers, "Idempotency-Key": "k"}
    return Submission(bureau.client, f"{EXCHANGE}/subscriptions", headers, 0, json=HOOK)


def a_turn(verb: str, body: Any = None) -> Scenario:
    """An act on a subscription, from the state in which it is possible."""

    async def prepare(desk: Desk) -> Submission:
        bureau = await a_bureau(desk)
        subscription = await bureau.subscribe(**(HOOK if verb == "secret-rotation" else {}))
        if verb == "activation":
            subscription = (await bureau.act(subscription, "suspension", PAUSE)).json()
        headers = {**bureau.headers, "If-Match": f'"{subscription["revision"]}"'}
        return Submission(
            bureau.client,
            f"{EXCHANGE}/subscriptions/{subscription['id']}/{verb}",
            headers,
            0,
            json=body,
        )

    return prepare


async def a_replay(desk: Desk) -> Submission:
    bureau = await a_bureau(desk)
    with listening() as subscriber:
        subscription = await bureau.hooked(subscriber)
    await bureau.endpoints.close()
    headers = {**bureau.headers, "Idempotency-Key": "k"}
    path = f"{EXCHANGE}/subscriptions/{subscription['id']}/redeliveries"
    return Submission(bureau.client, path, headers, 0, json={"which": "all", "from_sequence": 0})


PAUSE = {"reason": "系统升级维护"}


LICENSE = "/api/v1/licenses/licenses/{license_id}"
WHY = {"reason": "现场检查发现问题"}


async def an_office(desk: Desk) -> Office:
    office = Office(await desk.service("licenses"), desk.token)
    _ = (await office.publish()).raise_for_status()
    return office


async def an_issue(desk: Desk) -> Submission:
    office = await an_office(desk)
    body = {"type_code": TYPE, "holder": HOLDER, "fields": {"place": "八廓街1号"}}
    headers = {**office.system, "Idempotency-Key": "k"}
    return Submission(office.client, "/api/v1/licenses/licenses", headers, 1, json=body)


def an_act_on_a_license(path: str, body: Any = None, before: str = "") -> Scenario:
    """An operation by its department."""

    async def prepare(desk: Desk) -> Submission:
        office = await an_office(desk)
        made = await office.issued()
        if before:
            made = await office.do(made, before)
        headers = {**office.officer, "If-Match": f'"{made["revision"]}"'}
        return Submission(
            office.client,
            LICENSE.format(license_id=made["id"]) + f"/{path}",
            headers,
            1,
            json=body or WHY,
        )

    return prepare


def a_use(path: str) -> Scenario:
    """Allowing a use, or using what was allowed."""

    async def prepare(desk: Desk) -> Submission:
        office = await an_office(desk)
        _, holder = await office.verify()
        made = await office.issued()
        url, allow = LICENSE.format(license_id=made["id"]), {"matter_code": "M"}
        if path == "authorisations":
            return Submission(
                office.client, f"{url}/{path}", {**holder, "Idempotency-Key": "k"}, 0, json=allow
            )
        given = await office.client.post(
            f"{url}/authorisations", json=allow, headers={**holder, "Idempotency-Key": "a"}
        )
        body = {
            "auth_code": given.json()["auth_code"],
            "matter_code": "M",
            "case_number": "C",
            "reason": "核验资格",
        }
        return Submission(
            office.client, f"{url}/{path}", {**office.system, "Idempotency-Key": "k"}, 1, json=body
        )

    return prepare


async def a_signing_job(desk: Desk) -> Submission:
    office = await an_office(desk)
    headers = {**office.officer, "Idempotency-Key": "k"}
    return Submission(office.client, "/api/v1/licenses/signing-jobs", headers, 0, json={})


SCENARIOS: dict[str, Scenario] = {
    "/api/v1/licenses/licenses": an_issue,
    "/api/v1/licenses/signing-jobs": a_signing_job,
    f"{LICENSE}/suspension": an_act_on_a_license("suspension"),
    f"{LICENSE}/release": an_act_on_a_license("release", before="suspension"),
    f"{LICENSE}/revocation": an_act_on_a_license("revocation", {**WHY, "kind": "revoke"}),
    f"{LICENSE}/transfer": an_act_on_a_license("transfer"),
    f"{LICENSE}/change": an_act_on_a_license("change", {**WHY, "fields": {"seats": "8"}}),
    f"{LICENSE}/renewal": an_act_on_a_license("renewal"),
    f"{LICENSE}/authorisations": a_use("authorisations"),
    f"{LICENSE}/uses": a_use("uses"),
    f"{EXCHANGE}/peers": a_peer,
    f"{EXCHANGE}/peers/{{peer_id}}/keys": a_key,
    f"{EXCHANGE}/subscriptions": a_subscription,
    f"{SUBSCRIPTION}/activation": a_turn("activation"),
    f"{SUBSCRIPTION}/secret-rotation": a_turn("secret-rotation"),
    f"{SUBSCRIPTION}/suspension": a_turn("suspension", PAUSE),
    f"{SUBSCRIPTION}/end": a_turn("end", PAUSE),
    f"{SUBSCRIPTION}/redeliveries": a_replay,
    "/api/v1/cases/applications": an_application,
    "/api/v1/cases/bundle-applications": a_bundle_application,
    "/api/v1/cases/imports": a_push,
    f"{FILES}/acceptance": an_act("acceptance", "window_clerk", 1),
    f"{FILES}/non-acceptance": an_act("non-acceptance", "window_clerk", 2, REASONS),
    f"{FILES}/correction-requests": an_act(
        "correction-requests", "window_clerk", 1, {"items": [{"text": "缺件"}]}
    ),
    f"{FILES}/corrections": an_act("corrections", "citizen", 1, before=("correction-requests",)),
    f"{FILES}/reviews": an_act("reviews", "approver", 0, STEPS["reviews"][1], ("acceptance",)),
    f"{FILES}/decision": an_act("decision", "leader", 1, {"result": "0"}, REVIEWED),
    f"{FILES}/delivery": an_act(
        "delivery", "delivery", 2, {"method": "window"}, (*REVIEWED, "decision")
    ),
    f"{FILES}/withdrawal": an_act("withdrawal", "citizen", 2),
    f"{FILES}/return": an_act("return", "window_clerk", 1, REASONS, ("correction-requests",)),
    DRAFTS: a_draft,
    f"{DRAFTS}/{{matter_id}}/review": a_step("review", 0),
    f"{DRAFTS}/{{matter_id}}/publication": a_step("publication", 1),
    f"{CATALOGUE}/suspension": a_closing("suspension"),
    f"{CATALOGUE}/cancellation": a_closing("cancellation"),
    "/api/v1/matters/imports": an_import,
    f"{BUNDLES}/drafts": a_bundle_draft,
    f"{BUNDLES}/drafts/{{bundle_id}}/publication": a_bundle_step("publication"),
    f"{BUNDLES}/{{bundle_id}}/withdrawal": a_bundle_step("withdrawal"),
    f"{FILES}/suspension": an_act("suspension", "approver", 1, SUSPENSION, ("acceptance",)),
    f"{FILES}/resumption": an_act("resumption", "approver", 1, before=("acceptance", "suspension")),
    f"{FILES}/extension": an_act("extension", "department_head", 1, EXTENSION, ("acceptance",)),
    f"{FILES}/supplements": a_supplement,
    "/api/v1/cases/lights/{light_id}/answer": an_answer_to_a_light,
    "/api/v1/assessment/daily-reports/{day}/publication": a_report("publication"),
    "/api/v1/assessment/daily-reports/{day}/revisions": a_report(
        "revisions", {"reason": "更正当日数据"}
    ),
    f"{RATINGS}/ratings": a_rating,
    f"{RATINGS}/visits": a_visit,
    f"{RATINGS}/token-batches": a_token_batch,
    f"{RATINGS}/token-batches/{{batch_id}}/download": a_download,
    f"{TICKETS}/verification": a_ticket("verification", 0, VERIFIED),
    f"{TICKETS}/callbacks": a_ticket("callbacks", 1, CALLED, "verify"),
    f"{TICKETS}/rectification": a_ticket("rectification", 0, COMPLEX, "verify", "call"),
    f"{TICKETS}/rectification/approval": a_ticket(
        "rectification/approval", 0, None, "verify", "call", "complex"
    ),
    f"{TICKETS}/rectification/completion": a_ticket(
        "rectification/completion", 1, CLOSING, "verify", "call", "plan"
    ),
    f"{TICKETS}/explanation": a_ticket("explanation", 1, CLOSING, "verify", "call"),
    f"{TICKETS}/feedback": a_ticket(
        "feedback", 0, {"by": "phone", "words": "已告知"}, "verify", "call", "plan", "complete"
    ),
    f"{TICKETS}/re-rating": a_ticket(
        "re-rating", 2, {"grade": 1}, "verify", "call", "plan", "complete"
    ),
    f"{TICKETS}/appeal": a_ticket("appeal", 0, APPEAL, audit=2),
    f"{LOOP}/appeals/{{appeal_id}}/reviews": a_review_of_an_appeal,
    f"{LOOP}/publications/{{rating_id}}/moderation": a_moderation,
    "/api/v1/identity/staff": an_account("/api/v1/identity/staff", STAFF),
    "/api/v1/identity/systems": an_account("/api/v1/identity/systems", BUREAU_SYSTEM),
}
ELSEWHERE = {
    "ratings/{rating_id}/supplements": "tests/ratings/test_rating.py sends one 100 times",
    "sessions/sms": "tests/identity/test_sign_in.py sends one code 100 times",
    "sessions/refresh": "tests/identity/test_sign_in.py refreshes 50 times at once",
    "sessions/password": "a TOTP step serves once: tests/identity/test_sign_in.py",
    "sms-codes": "each is another code, within a budget",
    "mandates": "tests/identity/test_mandates.py offers and accepts one 100 times",
    "mandates/{mandate_id}/acceptance": "tests/identity/test_mandates.py accepts one 100 times",
    "mandates/{mandate_id}/revocation": "tests/identity/test_mandates.py revokes one 100 times",
    "oauth/token-exchange": "each is another session under one's own mandate",
    "oauth/token": "an assertion serves once: tests/identity/test_sign_in.py",
    "verifications": "locks the account; the second is told so: tests/identity/test_accounts.py",
    "departure": "ends sessions that have ended",
    "signing-keys/rotation": "each is another key",
    "catalogue-documents": "the same text again changes nothing, a racing one is refused whole",
    "organisations": "tests/identity/test_organisations.py registers one 100 times",
    "sessions/mini-program": "tests/identity/test_mini_programs.py signs in 50 times at once",
    "sessions/mini-program/binding": "tests/identity/test_mini_programs.py binds 50 times at once",
    "sessions/organisation": "each is another session of one's own",
    "counter-verifications": "raises a level that is then raised: tests/identity/test_counter.py",
    "systems/{account_id}/withdrawal": "ends sessions that have ended",
    "reveals": "changes nothing; every look is on record",
    "prints": "changes nothing; every page that was printed is on record",
    "uploads": "the same content is stored once; a further reference to it does nothing by itself",
    "tracking": "only reads",
    "licenses/checks": "only reads",
    "personal-guides": "only reads",
    "license-matches": "only reads",
    "bundles/{bundle_id}/personal-guide": "only reads",
    "timer-runs": "development only; runs what the timers run",
    "batches": "its own id serves once: tests/exchange/test_batches.py sends one 100 times",
    "keys/rotations": "each is another key; an Idempotency-Key holds a repeat",
    "reconciliations": "each is another run; an Idempotency-Key holds a repeat",
    "reconciliations/{run_id}/approval": (
        "tests/exchange/test_reconciliations.py approves one 100 times"
    ),
    "redrives": "tests/shared/test_inbox.py",
    "discard": "tests/shared/test_inbox.py",
}


async def rows_of(client: ServiceClient) -> tuple[int, int]:
    connection = await client.database.connect()
    try:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM outbox) o, (SELECT count(*) FROM audit) a"
        )
        assert row
        return row["o"], row["a"]
    finally:
        await connection.close()


@pytest.mark.parametrize("path", SCENARIOS)
async def test_hundred_equal_submissions_have_one_effect(desk: Desk, path: str) -> None:
    submission = await SCENARIOS[path](desk)
    facts, audit = await rows_of(submission.client)

    answers = await asyncio.gather(*(submission.send() for _ in range(PARALLEL)))

    statuses = Counter(answer.status_code for answer in answers)
    good = [answer for answer in answers if answer.is_success]
    if "Idempotency-Key" in submission.headers:
        assert set(statuses) <= {200, 201, 202}, statuses
        assert len({answer.content for answer in good}) == 1
    else:
        assert len(good) == 1, statuses
        assert set(statuses) <= {200, 201, 409, 412}, statuses
    assert await rows_of(submission.client) == (facts + submission.facts, audit + submission.audit)


def test_every_posting_endpoint_has_its_scenario_or_a_reason() -> None:
    documents = [
        orjson.loads((API / f"{service}.openapi.json").read_bytes()) for service in SERVICES
    ]
    posting = {
        path for document in documents for path, item in document["paths"].items() if "post" in item
    }

    missing = sorted(
        path for path in posting - set(SCENARIOS) if not path.endswith(tuple(ELSEWHERE))
    )

    assert missing == []
    assert set(SCENARIOS) <= posting
