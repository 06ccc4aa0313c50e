"""Cases (办件): the acts on a case, one-thing applications, pushes, lights, the calendar."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Headers
from tests.golden import inputs
from tests.golden.inputs import NEXT_DOOR, PDF, PERSON, RENT, RENT_DIGEST, TEAHOUSE
from tests.golden.normalise import fixed
from tests.golden.recorder import Answer, Golden, Played

OPINION = {"opinion": "agree", "text": "符合条件"}
REASONS = {"reasons": "不属于本机关职权范围"}
SUSPENSION = {"kind": "检验", "planned_days": 5, "reason": "送检验机构检验"}
EXTENSION = {"days": 10, "reasons": "案情复杂, 需补充核查"}
PROMISE = {"kind": "promise", "code": "M3"}


class StackFixture:
    """The cases service with the teahouse published, and the acts on one case after another."""

    def __init__(self, golden: Golden, played: Played) -> None:
        self.golden = golden
        self.cases = played
        self.citizen = golden.as_.person(1)
        self.case: dict[str, Any] = {}
        self._keys = 0

    def officer(self, role: str, number: int, *, department: str | None = None) -> Headers:
        if department is None:
            return self.golden.as_.staff(role, number=number)
        return self.golden.as_.staff(role, number=number, department=department)

    @property
    def clerk(self) -> Headers:
        return self.officer("window_clerk", 101)

    @property
    def approver(self) -> Headers:
        return self.officer("approver", 102)

    @property
    def second_approver(self) -> Headers:
        return self.officer("approver", 103)

    @property
    def leader(self) -> Headers:
        return self.officer("leader", 104)

    @property
    def deliverer(self) -> Headers:
        return self.officer("delivery", 105)

    @property
    def head(self) -> Headers:
        return self.officer("department_head", 106)

    async def upload(self, caller: Headers | None = None, content: bytes = PDF) -> str:
        return str(
            (await self.cases.post("uploads", caller or self.citizen, content=content)).json["id"]
        )

    async def application(self, **changes: Any) -> dict[str, Any]:
        upload = await self.upload(changes.pop("caller", None))
        return {
            "matter_id": TEAHOUSE,
            "matter_version": 1,
            "answers": RENT,
            "guide_digest": RENT_DIGEST,
            "applicant": PERSON,
            "materials": [{"code": code, "upload_id": upload} for code in ("M1", "M2", "M3", "M4")],
            **changes,
        }

    async def post(self, body: dict[str, Any], caller: Headers | None = None) -> Answer:
        self._keys += 1
        answer = await self.cases.post(
            "applications", caller or self.citizen, body=body, key=f"apply-{self._keys}"
        )
        if answer.status == 201:
            self.case = answer.json
        return answer

    async def apply(self, caller: Headers | None = None, **changes: Any) -> None:
        answer = await self.post(await self.application(caller=caller, **changes), caller)
        assert answer.status == 201, answer.content

    async def act(
        self, path: str, caller: Headers, *, body: Any = None, status: int = 200
    ) -> Answer:
        answer = await self.cases.post(
            f"files/{self.case['id']}/{path}", caller, body=body, version=self.case["revision"]
        )
        assert answer.status == status, answer.content
        if answer.status == 200:
            self.case = answer.json
        return answer

    async def review(self) -> None:
        _ = await self.act("reviews", self.approver, body=OPINION)
        _ = await self.act("reviews", self.second_approver, body=OPINION)

    async def clocks(self, as_of: str) -> None:
        _ = await self.cases.post(
            "development/timer-runs", self.golden.as_.administrator(), body={"as_of": as_of}
        )

    async def read(self, case_id: str | None = None) -> None:
        """Read a case anew: events and timers change it too."""
        self.case = (await self.cases.get(f"files/{case_id or self.case['id']}", self.clerk)).json

    async def show(self) -> None:
        """The case and its timeline, to the applicant and to an officer."""
        for caller in (self.citizen, self.approver):
            _ = await self.cases.get(f"files/{self.case['id']}", caller)
            _ = await self.cases.get(f"files/{self.case['id']}/timeline", caller)


@pytest.fixture
async def stack(golden: Golden, tmp_path: Path) -> StackFixture:
    played = await golden.service("cases", development=True, storage_url=str(tmp_path / "uploads"))
    await played.take(inputs.matter_published(1, TEAHOUSE, text=inputs.document("teahouse")))
    return StackFixture(golden, played)


async def finish(stack: StackFixture, *, whole: bool = False) -> None:
    """Show the tables; the copy of the matter only where `whole`."""
    stack.golden.section("Tables")
    await stack.cases.dump(leave_out=() if whole else ("matter_copy",))
    stack.golden.check()


async def test_life_granted(stack: StackFixture) -> None:
    stack.golden.section("From application to delivery")
    await stack.apply()
    stack.golden.clock.move("2026-03-11T10:00")
    _ = await stack.act("acceptance", stack.clerk)
    stack.golden.clock.move("2026-03-12T11:15")
    await stack.review()
    _ = await stack.act("decision", stack.leader, body={"result": "0"})
    stack.golden.clock.move("2026-03-13T16:00")
    _ = await stack.act(
        "delivery", stack.deliverer, body={"method": "post", "tracking_number": "EMS123456"}
    )
    await stack.show()
    _ = await stack.cases.get(f"files/{stack.case['id']}/materials/M1", stack.citizen)
    _ = await stack.cases.get("files", stack.citizen)
    track = {"number": stack.case["number"], "phone_last4": "1234"}
    _ = await stack.cases.post(
        "tracking", None, body=track, headers={"X-Forwarded-For": "203.0.113.1"}
    )
    await finish(stack, whole=True)


async def test_life_refused(stack: StackFixture) -> None:
    stack.golden.section("Decided against")
    await stack.apply(applicant=inputs.FIRM, channel="mobile")
    _ = await stack.act("acceptance", stack.clerk)
    await stack.review()
    _ = await stack.act("decision", stack.leader, body={"result": "1", "reasons": "不符合卫生条件"})
    _ = await stack.act("delivery", stack.deliverer, body={"method": "window"})

    stack.golden.section("Not accepted")
    await stack.apply()
    _ = await stack.act("non-acceptance", stack.clerk, body=REASONS)

    stack.golden.section("Withdrawn")
    await stack.apply()
    _ = await stack.act("acceptance", stack.clerk)
    _ = await stack.act("withdrawal", stack.citizen)

    stack.golden.section("Never corrected and returned")
    await stack.apply()
    _ = await stack.act("correction-requests", stack.clerk, body={"items": [{"text": "缺件"}]})
    _ = await stack.act("return", stack.clerk, body={"reasons": "逾期未补正"})
    await stack.show()
    await finish(stack)


async def test_correction_suspension_extension(stack: StackFixture) -> None:
    await stack.apply()
    stack.golden.section("Correction")
    items = {"items": [{"material_code": "M4", "text": "合同缺少签字页"}, {"text": "请补充联系人"}]}
    _ = await stack.act("correction-requests", stack.clerk, body=items)
    stack.golden.clock.move("2026-03-16T09:00")
    upload = await stack.upload(content=inputs.PNG)
    _ = await stack.act(
        "corrections", stack.citizen, body={"materials": [{"code": "M4", "upload_id": upload}]}
    )
    _ = await stack.act("correction-requests", stack.clerk, body=items, status=409)
    _ = await stack.act("acceptance", stack.clerk)

    stack.golden.section("Suspension")
    _ = await stack.act("suspension", stack.approver, body=SUSPENSION)
    _ = await stack.act("decision", stack.leader, body={"result": "0"}, status=409)
    await stack.cases.dump("case_file")
    stack.golden.clock.move("2026-03-23T09:00")
    _ = await stack.act("resumption", stack.approver)

    stack.golden.section("Extension")
    _ = await stack.act("extension", stack.head, body={**EXTENSION, "days": 11}, status=400)
    _ = await stack.act("extension", stack.head, body=EXTENSION)
    _ = await stack.act("extension", stack.head, body=EXTENSION, status=409)
    await stack.show()
    await finish(stack)


async def test_materials_from_other_sources(stack: StackFixture) -> None:
    await stack.cases.take(
        inputs.matter_published(
            2, TEAHOUSE, text=inputs.with_promise(inputs.document("teahouse")), version=2
        )
    )
    license_id = fixed(2001)
    await stack.cases.take(inputs.license_event(3, "license-issued", license_id=license_id))
    guided = {
        "matter_id": TEAHOUSE,
        "matter_version": 2,
        "answers": RENT,
        "guide_digest": inputs.GAP_DIGEST,
    }
    stack.golden.section("Which licences could be used")
    _ = await stack.cases.post("license-matches", stack.citizen, body=guided)

    stack.golden.section("A licence and a promise")
    body = await stack.application(matter_version=2, guide_digest=inputs.GAP_DIGEST)
    upload = body["materials"][0]
    licensed = {"kind": "license", "code": "M2", "license_id": license_id}
    body["materials"] = [upload, licensed, PROMISE, {**upload, "code": "M4"}]
    assert (await stack.post(body)).status == 201
    first = stack.case
    _ = await stack.act("acceptance", stack.clerk)
    await stack.cases.dump("case_file")
    stack.golden.clock.move("2026-03-17T09:00")
    _ = await stack.act(
        "supplements", stack.citizen, body={"materials": [{**upload, "code": "M3"}]}
    )

    stack.golden.section("The licence lapses and is restored")
    await stack.cases.take(
        inputs.license_event(
            4, "license-suspended", license_id=license_id, revision=2, status="02", reason="暂扣"
        )
    )
    await stack.cases.dump("license_copy", "case_license")
    await stack.cases.take(
        inputs.license_event(
            5, "license-changed", license_id=license_id, revision=3, change="released"
        )
    )
    await stack.cases.take(
        inputs.license_event(
            6, "license-revoked", license_id=license_id, revision=4, status="03", reason="撤销"
        )
    )
    await stack.read()
    _ = await stack.act(
        "correction-requests",
        stack.approver,
        body={"items": [{"material_code": "M2", "text": "执照已撤销"}]},
    )
    _ = await stack.act(
        "corrections", stack.citizen, body={"materials": [{**upload, "code": "M2"}]}
    )
    await stack.show()

    stack.golden.section("Materials of an earlier case")
    earlier = [
        {"kind": "earlier_case", "code": "M1", "earlier_case_id": first["id"]},
        {
            "kind": "earlier_case",
            "code": "M2",
            "earlier_case_id": first["id"],
            "earlier_code": "M3",
        },
        upload | {"code": "M3"},
        upload | {"code": "M4"},
    ]
    assert (await stack.post({**body, "materials": earlier})).status == 201
    await finish(stack)


async def test_refusals(stack: StackFixture) -> None:
    good = await stack.application()
    zeros = "sha256:" + "0" * 64
    bad_number = {**PERSON, "id_number": "540102199001010012", "phone": "1"}
    extra = [*good["materials"], {"code": "M9", "upload_id": good["materials"][0]["upload_id"]}]
    for changes in (
        {"materials": []},
        {"materials": extra},
        {"materials": [*good["materials"], good["materials"][0]]},
        {"materials": [PROMISE]},
        {"materials": [{"kind": "licence", "code": "M3"}]},
        {"materials": [{"kind": "license", "code": "M2", "license_id": fixed(2009)}]},
        {"materials": [{"kind": "earlier_case", "code": "M2", "earlier_case_id": fixed(2008)}]},
        {"materials": [{"code": "M1", "upload_id": fixed(2007)}]},
        {"guide_digest": zeros},
        {"answers": {}},
        {"answers": {"Q1": "lend", "Q9": "x"}},
        {"matter_version": 2},
        {"matter_id": fixed(1099)},
        {"applicant": bad_number},
        {"channel": "window"},
        {"surplus": 1},
    ):
        assert (await stack.post({**good, **changes})).status >= 400
    stack.golden.section("Who may not")
    for caller in (
        {},
        stack.golden.as_.person(2, acr="1"),
        stack.golden.as_.system("cases:push"),
        stack.approver,
    ):
        assert (await stack.post(good, caller or {"Authorization": ""})).status >= 400

    stack.golden.section("Acts out of their place")
    await stack.apply()
    repeated = await stack.cases.post("applications", stack.citizen, body=good, key="apply-21")
    assert repeated.status == 201
    _ = await stack.cases.post(
        "applications", stack.citizen, body={**good, "channel": "mobile"}, key="apply-21"
    )
    _ = await stack.cases.post("applications", stack.citizen, body=good)
    _ = await stack.act("decision", stack.leader, body={"result": "0"}, status=409)
    _ = await stack.act("acceptance", stack.approver, status=403)
    _ = await stack.act(
        "acceptance", stack.officer("window_clerk", 107, department=NEXT_DOOR), status=404
    )
    _ = await stack.cases.post(f"files/{stack.case['id']}/acceptance", stack.clerk, version=7)
    _ = await stack.cases.post(f"files/{stack.case['id']}/acceptance", stack.clerk)
    _ = await stack.act("suspension", stack.approver, body=SUSPENSION, status=409)
    _ = await stack.act("reviews", stack.approver, body={"opinion": "maybe"}, status=400)
    _ = await stack.act("acceptance", stack.clerk)
    _ = await stack.act("resumption", stack.approver, status=409)
    _ = await stack.act("decision", stack.leader, body={"result": "1"}, status=400)
    _ = await stack.act("decision", stack.leader, body={"result": "0"}, status=409)
    _ = await stack.cases.get(f"files/{fixed(2006)}", stack.citizen)
    _ = await stack.cases.get("files/nonsense", stack.citizen)
    _ = await stack.cases.post("uploads", stack.citizen, content=b"no file that we take")
    _ = await stack.cases.get("files", stack.citizen, cursor="nonsense", limit=0)
    track = {"number": stack.case["number"], "phone_last4": "0000"}
    _ = await stack.cases.post(
        "tracking", None, body=track, headers={"X-Forwarded-For": "203.0.113.1"}
    )
    await finish(stack)


async def test_clocks_lights_and_lists(stack: StackFixture) -> None:
    stack.golden.section("Silence is acceptance")
    await stack.apply()
    stack.golden.clock.move("2026-03-16T12:00")
    await stack.clocks("2026-03-16T12:00:00+08:00")
    stack.golden.clock.move("2026-03-18T12:00")
    await stack.clocks("2026-03-18T12:00:00+08:00")
    _ = await stack.cases.get(f"files/{stack.case['id']}", stack.citizen)

    stack.golden.section("A light, answered")
    await stack.read()
    stack.golden.clock.move("2026-03-25T12:00")
    await stack.clocks("2026-03-25T12:00:00+08:00")
    lights = await stack.cases.get("lights", stack.approver)
    first = next(light["id"] for light in lights.json["items"] if light["cleared_at"] is None)
    shown = await stack.cases.get(f"lights/{first}", stack.approver)
    answer = {"text": "材料复杂, 已加派人员"}
    _ = await stack.cases.post(
        f"lights/{first}/answer", stack.approver, body=answer, version=shown.version
    )
    supervisor = stack.golden.as_.staff("supervisor", number=110)
    _ = await stack.cases.get("lights", supervisor, open="true", level="yellow")

    stack.golden.section("Red and deep red")
    stack.golden.clock.move("2026-04-20T12:00")
    await stack.clocks("2026-04-20T12:00:00+08:00")
    _ = await stack.cases.get("work-list", stack.approver, overdue="true")
    _ = await stack.cases.get("lights", supervisor)

    stack.golden.section("Work lists")
    await stack.apply()
    await stack.apply()
    page = await stack.cases.get("work-list", stack.clerk, limit=2)
    _ = await stack.cases.get("work-list", stack.clerk, limit=2, cursor=page.json["next"])
    _ = await stack.cases.get("work-list", stack.clerk, state="received", mine="true")
    own = await stack.cases.get("files", stack.citizen, limit=1)
    _ = await stack.cases.get("files", stack.citizen, limit=2, cursor=own.json["next"])

    stack.golden.section("The late case is decided and the lights go out")
    late = (await stack.cases.get("work-list", stack.approver, overdue="true")).json["items"][0]
    await stack.read(late["id"])
    await stack.review()
    _ = await stack.act("decision", stack.leader, body={"result": "0"})
    _ = await stack.act("delivery", stack.deliverer, body={"method": "online"})
    await finish(stack)


async def test_calendar(stack: StackFixture) -> None:
    await stack.apply()
    _ = await stack.act("acceptance", stack.clerk)
    administrator = stack.golden.as_.administrator()
    _ = await stack.cases.get("calendar", stack.citizen, year=2026)
    days = {"days": [{"day": "2026-03-18", "is_working": False, "note": "调休"}]}
    changed = await stack.cases.put("calendar/days", administrator, body=days)
    _ = await stack.cases.put("calendar/days", administrator, body=days)
    stack.golden.clock.move("2026-03-10T09:40")
    await stack.cases.timer("calendar")
    _ = await stack.cases.get(f"calendar/changes/{changed.json['id']}", administrator)
    await stack.show()
    await finish(stack)


async def test_window_and_agent(stack: StackFixture) -> None:
    stack.golden.section("A clerk takes in for somebody")
    await stack.apply(stack.clerk, channel="window")
    _ = await stack.act(
        "correction-requests",
        stack.clerk,
        body={"items": [{"material_code": "M4", "text": "缺少签字页"}]},
    )
    upload = await stack.upload(stack.clerk)
    _ = await stack.act(
        "corrections", stack.clerk, body={"materials": [{"code": "M4", "upload_id": upload}]}
    )

    stack.golden.section("An agent under a mandate")
    mandate = {"act": {"sub": fixed(9)}, "mandate": fixed(901), "matters": [TEAHOUSE]}
    agent = stack.golden.as_.person(1, **mandate)
    await stack.apply(agent)
    _ = await stack.cases.get(f"files/{stack.case['id']}", agent)
    _ = await stack.cases.get(f"files/{stack.case['id']}/timeline", stack.citizen)
    _ = await stack.act("withdrawal", agent)
    elsewhere = stack.golden.as_.person(1, **{**mandate, "matters": [fixed(1098)]})
    _ = await stack.cases.get("files", elsewhere)
    _ = await stack.cases.get(f"files/{stack.case['id']}", elsewhere)
    await finish(stack)


async def test_push_and_batches(stack: StackFixture) -> None:
    system = stack.golden.as_.system("cases:push")

    def record(number: int, **changes: Any) -> dict[str, Any]:
        return {
            "source_number": f"FG-{number:05d}",
            "version": 1,
            "matter_code": inputs.MATTER_CODE,
            "matter_name": "商品房预售许可",
            "matter_type": "01",
            "applicant_kind": "organisation",
            "state": "closed",
            "received_on": "2026-03-02",
            "accepted_on": "2026-03-03",
            "closed_on": "2026-03-10",
            "result": "0",
            **changes,
        }

    contact = {"name": "德吉卓嘎", "phone": "13989005566"}
    open_case = record(2, state="accepted", closed_on=None, result=None, contact=contact)
    good = [record(1), open_case]
    faulty = [
        record(3, matter_code="11540100MB0Q01904W30001170510"),
        record(4, closed_on="2026-03-01"),
        record(1),
    ]

    stack.golden.section("A push, twice, and a newer version")
    body = {"source_system": "fangguan", "records": good + faulty}
    _ = await stack.cases.post("imports", system, body=body, key="push-1")
    _ = await stack.cases.post("imports", system, body=body, key="push-1")
    _ = await stack.cases.post("imports", system, body=body, key="push-2")
    newer = {"source_system": "fangguan", "records": [record(2, version=2, overdue=True)]}
    _ = await stack.cases.post("imports", system, body=newer, key="push-3")

    stack.golden.section("A signed batch")
    await stack.cases.take(
        inputs.records_received(
            10, "cases", records=[*good, *faulty, [1], {"source_number": "中文"}]
        )
    )
    await stack.cases.take(
        inputs.records_received(
            11, "cases", records=[record(7), record(1, version=3)], chunk=2, chunks=2, first_row=8
        )
    )
    await finish(stack)


async def test_bundle(stack: StackFixture) -> None:
    cases = stack.cases
    trade = inputs.document("trade")
    await cases.take(
        inputs.matter_published(2, inputs.TRADE, text=trade), inputs.bundle_published(3)
    )

    async def apply(caller: Headers | None = None, **changes: Any) -> dict[str, Any]:
        upload = await stack.upload(caller)
        body = {
            "bundle_id": inputs.BUNDLE,
            "bundle_version": 1,
            "answers": {"licence": RENT},
            "guide_digest": inputs.BUNDLE_DIGEST,
            "applicant": PERSON,
            "fields": {"shop": "雪域甜茶馆", "area": "80"},
            "materials": [{"code": code, "upload_id": upload} for code in ("B1", "B2", "B3", "B4")],
            **changes,
        }
        return (
            await cases.post(
                "bundle-applications",
                caller or stack.citizen,
                body=body,
                key=f"bundle-{len(cases.sent)}",
            )
        ).json

    async def child(parent: dict[str, Any], code: str) -> dict[str, Any]:
        shown = (await cases.get(f"bundle-files/{parent['id']}", stack.citizen)).json
        return next(one["case"] for one in shown["children"] if one["code"] == code)

    def neighbour(role: str, number: int) -> Headers:
        return stack.officer(role, number, department=NEXT_DOOR)

    async def decide_trade(decision: dict[str, Any]) -> None:
        _ = await stack.act("acceptance", neighbour("window_clerk", 121))
        _ = await stack.act("reviews", neighbour("approver", 122), body=OPINION)
        _ = await stack.act("reviews", neighbour("approver", 123), body=OPINION)
        _ = await stack.act("decision", neighbour("leader", 124), body=decision)

    stack.golden.section("Faults")
    _ = await apply(fields={}, materials=[])
    _ = await apply(answers={}, guide_digest="sha256:" + "0" * 64)

    stack.golden.section("Both children granted, one after the other")
    parent = await apply()
    stack.case = await child(parent, "trade")
    await decide_trade({"result": "0"})
    stack.case = await child(parent, "licence")
    _ = await stack.act("acceptance", stack.clerk)
    await stack.review()
    _ = await stack.act("decision", stack.leader, body={"result": "0"})
    _ = await stack.act("delivery", stack.deliverer, body={"method": "window"})
    _ = await cases.get(f"bundle-files/{parent['id']}", stack.approver)
    _ = await cases.get("bundle-files", stack.citizen)

    stack.golden.section("The first child refused: the second is returned")
    parent = await apply()
    stack.case = await child(parent, "trade")
    await decide_trade({"result": "1", "reasons": "场所不符合要求"})
    _ = await cases.get(f"bundle-files/{parent['id']}", stack.citizen)

    stack.golden.section("Taken in at a window")
    parent = await apply(stack.clerk, channel="window")
    _ = await cases.get(f"bundle-files/{parent['id']}", stack.clerk)
    _ = await cases.get(f"bundle-files/{parent['id']}", stack.citizen)

    stack.golden.section("Closed")
    await cases.take(inputs.bundle_published(4, is_open=False, version=2))
    _ = await apply()
    await finish(stack)
