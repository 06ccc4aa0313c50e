"""One-thing applications (一件事).

Parent and children are created at once, in parallel or in order, all or nothing.
"""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.cases.bundles.model import BundleState, bundle_state
from services.cases.consumer import consumer
from shared import clock
from shared.domain.bundles import (
    BundleDocument,
    BundleGuide,
    ChildText,
    Texts,
    bundle_guide,
    snapshot,
)
from shared.domain.guides import MatterDocument
from shared.events.licenses import LicenseRevoked
from shared.events.matters import BundlePublished, MatterSuspended
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from tests.assessment.test_daily_report import a_matter
from tests.builders.bundles import LICENCE, TRADE, a_bundle, the_licence, the_trade_register
from tests.builders.events import a_record
from tests.builders.matters import CITY, DEPARTMENT
from tests.cases.conftest import ANSWERS, APPLICANT, BASE, StackFixture
from tests.cases.test_licenses import later, licensed, material, meeting, tell
from tests.cases.test_materials import replaced
from tests.conftest import Headers, ServiceClient, TokenFactory, published

NEXT_DOOR = "11540100MB0Q01905U"
REFUSAL = {"result": "1", "reasons": "场所不符合要求"}
REASONS = {"reasons": "不属于本机关职权范围"}


class BundleStackFixture(StackFixture):
    """Plays a one-thing application over HTTP.

    The register is kept by another department than the licence.
    """

    def __init__(self, client: ServiceClient, token: TokenFactory) -> None:
        super().__init__(client, token)
        self.bundle_id = new_id()
        self.matters = {TRADE: new_id(), LICENCE: new_id()}
        self.texts: dict[str, MatterDocument] = {}
        self.bundle: BundleDocument = a_bundle(self.matters)
        self.version = 0

    async def take(self, event: Any) -> None:
        await Inbox(self.client.database, None, consumer=consumer).take([a_record(event)])  # pyright: ignore[reportArgumentType]

    async def publish_matter(self, code: str, document: MatterDocument) -> None:
        self.texts[code] = document
        await self.take(
            a_matter(
                self.matters[code],
                code=document.code,
                local_code=document.local_code,
                area_code=document.area_code,
                department_code=document.department_code,
                document=document.model_dump(mode="json"),
                occurred_at=clock.now(),
            )
        )

    @property
    def known(self) -> Texts:
        return {self.matters[code]: ChildText(1, text) for code, text in self.texts.items()}

    async def publish_bundle(self, *, is_open: bool = True, **changes: Any) -> None:
        self.version += 1
        self.bundle = a_bundle(self.matters, **changes)
        await self.take(
            BundlePublished(
                bundle_id=self.bundle_id,
                code=self.bundle.code,
                area_code=CITY,
                department_code=DEPARTMENT,
                version=self.version,
                open=is_open,
                document=snapshot(self.bundle, self.known).model_dump(mode="json"),
                revision=self.version,
                occurred_at=clock.now(),
            )
        )

    def guide(self, answers: Any) -> BundleGuide:
        return bundle_guide(
            self.bundle, self.known, answers=answers, bundle_id=self.bundle_id, version=self.version
        )

    async def bundle_application(self, headers: Headers, **changes: Any) -> dict[str, Any]:
        answers = changes.get("answers", {LICENCE: ANSWERS} if LICENCE in self.texts else {})
        guide = self.guide(answers)
        upload = (await self.upload(headers)).json()["id"]
        return {
            "bundle_id": str(self.bundle_id),
            "bundle_version": self.version,
            "answers": answers,
            "guide_digest": guide.digest,
            "applicant": APPLICANT,
            "fields": {"shop": "雪域甜茶馆", "area": "80"},
            "materials": [{"code": m.code, "upload_id": upload} for m in guide.materials],
            **changes,
        }

    async def post_bundle(
        self, body: dict[str, Any], headers: Headers, key: str | None = None
    ) -> httpx.Response:
        keyed = {**headers, "Idempotency-Key": key or uuid4().hex}
        return await self.client.post(f"{BASE}/bundle-applications", json=body, headers=keyed)

    async def apply_bundle(self, headers: Headers | None = None, **changes: Any) -> dict[str, Any]:
        headers = headers or self.citizen
        answer = await self.post_bundle(await self.bundle_application(headers, **changes), headers)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def shown(self, parent: dict[str, Any], headers: Headers | None = None) -> dict[str, Any]:
        return await self.get(f"bundle-files/{parent['id']}", headers or self.citizen)

    async def child(self, parent: dict[str, Any], code: str) -> dict[str, Any]:
        return next(
            child["case"]
            for child in (await self.shown(parent))["children"]
            if child["code"] == code
        )

    def of(self, code: str, *roles: str) -> Headers:
        """An officer of the department that keeps the child."""
        return self.officer(*roles, department=self.texts[code].department_code)

    async def decide(
        self, parent: dict[str, Any], code: str, decision: Any = None
    ) -> dict[str, Any]:
        """From receipt to the decision."""
        case = await self.do(
            await self.child(parent, code), "acceptance", self.of(code, "window_clerk")
        )
        for _ in range(2):
            opinion = {"opinion": "agree", "text": "符合条件"}
            case = await self.do(case, "reviews", self.of(code, "approver"), opinion)
        return await self.do(case, "decision", self.of(code, "leader"), decision or {"result": "0"})


@pytest.fixture
async def stack(client: ServiceClient, token: TokenFactory) -> BundleStackFixture:
    stack = BundleStackFixture(client, token)
    await stack.publish_matter(
        TRADE, the_trade_register(department_code=NEXT_DOOR, code=None, local_code="T-1")
    )
    await stack.publish_matter(LICENCE, the_licence())
    await stack.publish_bundle()
    return stack


def states(parent: dict[str, Any]) -> list[str]:
    return [child["state"] for child in parent["children"]]


async def test_one_application_makes_a_parent_and_a_case_for_each_child(
    stack: BundleStackFixture,
) -> None:
    parent = await stack.apply_bundle()

    first, second = (child["case"] for child in parent["children"])
    assert (parent["state"], states(parent)) == ("handling", ["received", "waiting"])
    assert len({parent["number"], first["number"], second["number"]}) == 3
    assert first["due_on"] is not None
    assert second["due_on"] is None
    assert {first["bundle_case_id"], second["bundle_case_id"]} == {parent["id"]}
    assert parent["deliver_by"] > first["due_on"]
    facts = [
        event
        for event in await published(stack.client.database)
        if event.type.startswith("tongban.cases.case-")
    ]
    assert [(fact.type.split(".")[2], fact.key) for fact in facts] == [
        ("case-submitted", first["id"]),
        ("case-received", first["id"]),
        ("case-submitted", second["id"]),
    ]
    assert {fact.data["bundle_case_id"] for fact in facts} == {parent["id"]}


async def test_material_given_once_is_there_for_every_child_that_needs_it(
    stack: BundleStackFixture,
) -> None:
    parent = await stack.apply_bundle()

    given = [{m["code"] for m in child["case"]["materials"]} for child in parent["children"]]

    assert given == [{"T1", "T2"}, {"M1", "M3", "M4"}]
    shared = [
        m["digest"]
        for child in parent["children"]
        for m in child["case"]["materials"]
        if m["code"] in {"T2", "M4"}
    ]
    assert len(set(shared)) == 1


async def test_child_is_received_with_the_result_when_the_other_is_granted(
    stack: BundleStackFixture,
) -> None:
    parent = await stack.apply_bundle()
    first = await stack.decide(parent, TRADE)

    second = await stack.child(parent, LICENCE)

    assert second["state"] == "received"
    assert second["due_on"] is not None
    assert [m for m in second["materials"] if m["code"] == "M2"] == [
        {
            "code": "M2",
            "kind": "earlier_case",
            "earlier_case_id": first["id"],
            "earlier_code": "result",
        }
    ]
    work = await stack.get("work-list", stack.of(LICENCE, "window_clerk"))
    assert [case["id"] for case in work["items"]] == [second["id"]]
    timeline = await stack.get(f"files/{second['id']}/timeline", stack.citizen)
    assert [step["act"] for step in timeline] == ["wait", "receive"]
    _ = await stack.decide(parent, LICENCE)
    assert (await stack.shown(parent))["state"] == "decided"


async def test_waiting_child_is_in_no_work_list_and_has_no_clock(stack: BundleStackFixture) -> None:
    parent = await stack.apply_bundle()
    second = await stack.child(parent, LICENCE)

    work = await stack.get("work-list", stack.of(LICENCE, "window_clerk"))
    refused = await stack.act(second, "acceptance", stack.of(LICENCE, "window_clerk"))
    ran = await stack.clocks(clock.local_date(clock.now()).replace(year=2099))

    assert work["items"] == []
    assert (refused.status_code, refused.json()["allowed"]) == (409, ["withdraw"])
    assert ran["deemed_accepted"] == 1
    assert (await stack.child(parent, LICENCE))["state"] == "waiting"


async def test_licence_revoked_while_a_child_waits_stops_its_grant(
    stack: BundleStackFixture,
) -> None:
    await stack.publish_bundle(results=[])
    fact = await licensed(stack)
    code = next(
        one.code for one in stack.guide({LICENCE: ANSWERS}).materials if one.name.zh == "营业执照"
    )
    body = replaced(await stack.bundle_application(stack.citizen), code, meeting(fact, code))
    parent = (await stack.post_bundle(body, stack.citizen)).json()
    before = await stack.child(parent, LICENCE)

    await tell(stack, later(fact, LicenseRevoked))
    waiting = await stack.child(parent, LICENCE)
    _ = await stack.decide(parent, TRADE)
    case = await stack.do(
        await stack.child(parent, LICENCE), "acceptance", stack.of(LICENCE, "window_clerk")
    )
    for _ in range(2):
        opinion = {"opinion": "agree", "text": "符合条件"}
        case = await stack.do(case, "reviews", stack.of(LICENCE, "approver"), opinion)
    granted = await stack.act(case, "decision", stack.of(LICENCE, "leader"), {"result": "0"})

    assert (before["state"], waiting["state"], waiting["revision"]) == (
        "waiting",
        "waiting",
        before["revision"] + 1,
    )
    assert material(waiting)["lapsed"] == "03"
    assert (granted.status_code, granted.json()["lapsed"]) == (
        409,
        [{"code": "M2", "status": "03"}],
    )


@pytest.mark.parametrize("end", ["refusal", "non-acceptance", "withdrawal", "return"])
async def test_waiting_child_is_closed_with_the_reason_when_the_other_ends_without_a_grant(
    stack: BundleStackFixture, end: str
) -> None:
    parent = await stack.apply_bundle()
    first = await stack.child(parent, TRADE)
    match end:
        case "refusal":
            _ = await stack.decide(parent, TRADE, REFUSAL)
        case "non-acceptance":
            _ = await stack.do(first, "non-acceptance", stack.of(TRADE, "window_clerk"), REASONS)
        case "withdrawal":
            _ = await stack.do(first, "withdrawal", stack.citizen)
        case _:
            clerk = stack.of(TRADE, "window_clerk")
            first = await stack.do(
                first, "correction-requests", clerk, {"items": [{"text": "缺件"}]}
            )
            _ = await stack.do(first, "return", clerk, REASONS)

    second = await stack.child(parent, LICENCE)

    assert (second["state"], second["result"]) == ("returned", "5")
    assert "个体工商户设立登记" in second["reasons"]
    closed = [
        event for event in await published(stack.client.database) if event.key == second["id"]
    ]
    assert [event.type.split(".")[2] for event in closed] == ["case-submitted", "case-closed"]
    assert closed[-1].revision == second["revision"]


async def test_chain_falls_as_a_whole_and_parallel_children_go_on(
    stack: BundleStackFixture,
) -> None:
    stack.matters |= {"third": new_id(), "free": new_id()}
    for code in ("third", "free"):
        await stack.publish_matter(
            code, the_trade_register(code=None, local_code=code, name={"zh": f"事项{code}"})
        )
    children = [
        {"code": "third", "matter_id": stack.matters["third"], "after": [LICENCE]},
        {
            "code": LICENCE,
            "matter_id": stack.matters[LICENCE],
            "after": [TRADE],
            "fields": ["shop", "area"],
        },
        {"code": TRADE, "matter_id": stack.matters[TRADE]},
        {"code": "free", "matter_id": stack.matters["free"]},
    ]
    await stack.publish_bundle(children=children)
    parent = await stack.apply_bundle()
    begun = states(parent)

    _ = await stack.do(await stack.child(parent, TRADE), "withdrawal", stack.citizen)

    assert begun == ["waiting", "waiting", "received", "received"]
    assert states(await stack.shown(parent)) == ["returned", "returned", "withdrawn", "received"]


async def test_child_that_waits_for_two_is_received_once_however_close_they_are_decided(
    stack: BundleStackFixture,
) -> None:
    stack.matters["second"] = new_id()
    await stack.publish_matter(
        "second", the_trade_register(code=None, local_code="second", name={"zh": "另一事项"})
    )
    children = [
        {"code": TRADE, "matter_id": stack.matters[TRADE]},
        {"code": "second", "matter_id": stack.matters["second"]},
        {
            "code": LICENCE,
            "matter_id": stack.matters[LICENCE],
            "after": [TRADE, "second"],
            "fields": ["shop", "area"],
        },
    ]
    await stack.publish_bundle(children=children)
    parent = await stack.apply_bundle()

    _ = await asyncio.gather(stack.decide(parent, TRADE), stack.decide(parent, "second"))

    third = await stack.child(parent, LICENCE)
    facts = [
        event.type for event in await published(stack.client.database) if event.key == third["id"]
    ]
    assert third["state"] == "received"
    assert facts == ["tongban.cases.case-submitted.v1", "tongban.cases.case-received.v1"]


async def test_decision_and_withdrawal_at_the_same_moment_leave_no_child_between(
    stack: BundleStackFixture,
) -> None:
    for _ in range(5):
        parent = await stack.apply_bundle()
        case = await stack.do(
            await stack.child(parent, TRADE), "acceptance", stack.of(TRADE, "window_clerk")
        )
        for _ in range(2):
            opinion = {"opinion": "agree", "text": "符合条件"}
            case = await stack.do(case, "reviews", stack.of(TRADE, "approver"), opinion)
        second = await stack.child(parent, LICENCE)

        decided, withdrawn = await asyncio.gather(
            stack.act(case, "decision", stack.of(TRADE, "leader"), {"result": "0"}),
            stack.act(second, "withdrawal", stack.citizen),
        )

        assert decided.status_code == 200
        # Whoever comes second finds the child as the first left it: received meanwhile, or
        # withdrawn.
        assert withdrawn.status_code in {200, 412}
        state = (await stack.child(parent, LICENCE))["state"]
        assert state == ("withdrawn" if withdrawn.status_code == 200 else "received")


async def test_waiting_child_can_be_withdrawn_alone(stack: BundleStackFixture) -> None:
    parent = await stack.apply_bundle()

    _ = await stack.do(await stack.child(parent, LICENCE), "withdrawal", stack.citizen)
    _ = await stack.decide(parent, TRADE)

    assert states(await stack.shown(parent)) == ["decided", "withdrawn"]


async def test_all_faults_of_all_children_come_in_one_answer_and_nothing_is_stored(
    stack: BundleStackFixture,
) -> None:
    body = await stack.bundle_application(stack.citizen)
    guide = stack.guide({LICENCE: ANSWERS})
    codes = {one.name.zh: one.code for one in guide.materials}
    upload = body["materials"][0]["upload_id"]
    body |= {
        "fields": {"area": "large", "colour": "red"},
        "guide_digest": "sha256:" + "0" * 64,
        "materials": [
            {"kind": "promise", "code": codes["房屋租赁合同"]},
            {"code": codes["食品经营许可申请书"], "upload_id": upload},
            {"code": "B99", "upload_id": upload},
        ],
    }

    answer = await stack.post_bundle(body, stack.citizen)

    assert answer.status_code == 400
    assert {(error["field"], error["rule"]) for error in answer.json()["errors"]} == {
        ("fields.colour", "asked"),
        ("fields.shop", "required"),
        ("fields.area", "number"),
        ("guide_digest", "shown_guide"),
        ("materials.B99", "asked"),
        (f"materials.{codes['房屋租赁合同']}", "promise_allowed"),
        (f"materials.{codes['个体工商户开业登记申请表']}", "required"),
        (f"materials.{codes['经营场所布局图']}", "required"),
    }
    assert await published(stack.client.database) == []
    assert (await stack.get("bundle-files", stack.citizen))["items"] == []
    assert (await stack.get("files", stack.citizen))["items"] == []


async def test_wrong_answers_and_foreign_uploads_come_together(
    stack: BundleStackFixture, token: TokenFactory
) -> None:
    body = await stack.bundle_application(token())

    answer = await stack.post_bundle({**body, "answers": {LICENCE: {"Q1": "lent"}}}, stack.citizen)

    rules = {error["rule"] for error in answer.json()["errors"]}
    assert (answer.status_code, rules) == (400, {"known_option", "own_upload"})


async def test_same_key_makes_one_parent_and_the_same_answer(stack: BundleStackFixture) -> None:
    body = await stack.bundle_application(stack.citizen)

    answers = await asyncio.gather(
        *(stack.post_bundle(body, stack.citizen, "one") for _ in range(5))
    )

    assert {(answer.status_code, answer.content) for answer in answers} == {
        (201, answers[0].content)
    }
    assert len((await stack.get("bundle-files", stack.citizen))["items"]) == 1
    assert len((await stack.get("files", stack.citizen))["items"]) == 2


async def test_another_version_is_told_and_a_closed_bundle_takes_nothing(
    stack: BundleStackFixture,
) -> None:
    body = await stack.bundle_application(stack.citizen)
    await stack.publish_bundle(summary="新版")
    stale = await stack.post_bundle(body, stack.citizen)
    suspended = MatterSuspended(
        matter_id=stack.matters[LICENCE],
        code=None,
        local_code="L",
        area_code=CITY,
        department_code=DEPARTMENT,
        version=1,
        reason="法规修订",
        revision=2,
        occurred_at=clock.now(),
    )
    await stack.take(suspended)
    closed = await stack.post_bundle(await stack.bundle_application(stack.citizen), stack.citizen)
    await stack.publish_bundle(is_open=False)
    gone = await stack.post_bundle(await stack.bundle_application(stack.citizen), stack.citizen)

    assert (stale.status_code, stale.json()["current_version"]) == (409, 2)
    assert (closed.status_code, closed.json()["closed_children"]) == (409, [LICENCE])
    assert gone.status_code == 404


async def test_older_event_never_takes_the_place_of_a_newer(stack: BundleStackFixture) -> None:
    await stack.publish_bundle(summary="新版")
    stack.version = 0
    await stack.publish_bundle(is_open=False)

    stack.version = 2
    stack.bundle = a_bundle(stack.matters, summary="新版")
    assert (await stack.apply_bundle())["bundle_version"] == 2


async def test_applicant_sees_the_whole_and_officers_their_own_child(
    stack: BundleStackFixture, token: TokenFactory
) -> None:
    parent = await stack.apply_bundle()

    own = await stack.shown(parent)
    register = await stack.shown(parent, stack.of(TRADE, "approver"))
    licence = await stack.shown(parent, stack.of(LICENCE, "approver"))

    assert own == parent
    assert own["applicant_name"] == "卓玛央金"
    assert [child["case"] is not None for child in register["children"]] == [True, False]
    assert [child["case"] is not None for child in licence["children"]] == [False, True]
    assert [child["number"] is None for child in licence["children"]] == [True, False]
    assert (register["fields"].keys(), licence["fields"].keys()) == ({"shop", "area"}, {"shop"})
    for seen in (register, licence):
        assert "卓玛央金" not in str(seen)
        assert APPLICANT["id_number"] not in str(seen)
    others = (
        token(),
        stack.officer("approver", area="540102000000"),
        stack.officer(),
        token(kind="system"),
    )
    for headers in others:
        assert (
            await stack.client.get(f"{BASE}/bundle-files/{parent['id']}", headers=headers)
        ).status_code == 404
    missing = await stack.client.get(f"{BASE}/bundle-files/{uuid4()}", headers=stack.citizen)
    assert missing.status_code == 404


async def test_lists_of_the_applicant_show_the_parent(
    stack: BundleStackFixture, token: TokenFactory
) -> None:
    parents = [await stack.apply_bundle() for _ in range(3)]
    _ = await stack.decide(parents[0], TRADE)

    first = await stack.get("bundle-files", stack.citizen, limit=2)
    rest = await stack.get("bundle-files", stack.citizen, limit=2, cursor=first["next"])
    cases = await stack.get("files", stack.citizen)

    assert [item["id"] for item in (*first["items"], *rest["items"])] == [
        parent["id"] for parent in parents
    ]
    assert [(i["state"], i["children"], i["granted"]) for i in first["items"]] == [
        ("handling", 2, 1),
        ("handling", 2, 0),
    ]
    assert {case["bundle_case_id"] for case in cases["items"]} == {
        parent["id"] for parent in parents
    }
    assert {case["state"]: case["due_on"] is None for case in cases["items"]}["waiting"] is True
    assert (await stack.get("bundle-files", token()))["items"] == []


async def test_mandate_must_cover_every_child(
    stack: BundleStackFixture, token: TokenFactory
) -> None:
    principal, agent = str(uuid4()), {"sub": str(uuid4())}
    statuses: list[int] = []
    for matters in ([stack.matters[TRADE]], list(stack.matters.values())):
        acting = token(
            sub=principal, act=agent, mandate=str(uuid4()), matters=[str(one) for one in matters]
        )
        statuses.append(
            (await stack.post_bundle(await stack.bundle_application(acting), acting)).status_code
        )
        listed = (await stack.get("bundle-files", acting))["items"]
        assert len(listed) == (1 if statuses[-1] == 201 else 0)
    narrow = token(
        sub=principal, act=agent, mandate=str(uuid4()), matters=[str(stack.matters[TRADE])]
    )
    parent = (await stack.get("bundle-files", token(sub=principal)))["items"][0]

    read = await stack.client.get(f"{BASE}/bundle-files/{parent['id']}", headers=narrow)

    assert (statuses, read.status_code) == ([403, 201], 404)
    assert (await stack.get("bundle-files", narrow))["items"] == []


async def test_window_clerk_takes_it_in_on_behalf(stack: BundleStackFixture) -> None:
    clerk = stack.officer("window_clerk", department="11540100MB0Q01906B")

    parent = await stack.apply_bundle(clerk, channel="window")

    assert states(parent) == ["received", "waiting"]
    assert [child["case"] for child in parent["children"]] == [None, None]
    assert all(child["number"] for child in parent["children"])
    assert "卓玛央金" not in str(parent)


async def test_low_assurance_and_other_callers_do_not_apply(
    stack: BundleStackFixture, token: TokenFactory
) -> None:
    body = await stack.bundle_application(stack.citizen)

    callers = (token(acr="1"), token(kind="system"), stack.officer("approver"))
    statuses = [(await stack.post_bundle(body, headers)).status_code for headers in callers]

    assert statuses == [401, 403, 403]


async def test_tracking_a_waiting_child_shows_no_due_date(stack: BundleStackFixture) -> None:
    parent = await stack.apply_bundle()
    second = await stack.child(parent, LICENCE)

    tracked = await stack.client.post(
        f"{BASE}/tracking",
        json={"number": second["number"], "phone_last4": APPLICANT["phone"][-4:]},
    )

    assert (tracked.json()["state"], tracked.json()["due_on"]) == ("waiting", None)


async def test_the_form_is_encrypted_at_rest(stack: BundleStackFixture) -> None:
    parent = await stack.apply_bundle()

    connection = await stack.client.database.connect()
    row = await connection.fetchval(
        "SELECT bundle_case::text FROM bundle_case WHERE id = $1", UUID(parent["id"])
    )
    events = await connection.fetch("SELECT payload FROM outbox")
    await connection.close()

    for text in ("雪域甜茶馆", APPLICANT["name"], APPLICANT["id_number"], APPLICANT["phone"]):
        assert text not in str(row)
        assert all(text.encode() not in event["payload"] for event in events)


@pytest.mark.parametrize(
    ("children", "state"),
    [
        ([("received", None), ("closed", "0")], BundleState.HANDLING),
        ([("waiting", None), ("decided", "0")], BundleState.HANDLING),
        ([("decided", "0"), ("withdrawn", None)], BundleState.DECIDED),
        ([("closed", "0"), ("not_accepted", "6")], BundleState.CLOSED),
    ],
)
def test_state_of_the_parent_follows_from_its_children(
    children: list[tuple[str, str | None]], state: BundleState
) -> None:
    assert bundle_state(children) is state
