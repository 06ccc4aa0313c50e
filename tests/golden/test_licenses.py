"""Licences (电子证照): types, issue, life, collection, signing, checks, uses, figures."""

from typing import Any

import pytest

from tests.conftest import Headers
from tests.golden import inputs
from tests.golden.inputs import NEXT_DOOR, PERSON
from tests.golden.normalise import fixed
from tests.golden.recorder import CITY, DEPARTMENT, Answer, Golden, Played

TYPE = f"{DEPARTMENT}001"
BODY = {"name": "拉萨市市场监督管理局", "code": DEPARTMENT}
DOCUMENT = {
    "name": {"zh": "食品经营许可证", "bo": "བཟའ་ཆས་གཉེར་སྐྱོང་ཆོག་མཆན་ལག་ཁྱེར།"},
    "defining_body": BODY,
    "issuing_bodies": [BODY],
    "holder_kind": "any",
    "validity": {"unit": "years", "amount": 5},
    "fields": [
        {"name": "place", "label": {"zh": "经营场所", "bo": "གཉེར་སྐྱོང་ས་གནས།"}, "required": True},
        {
            "name": "scope",
            "label": {"zh": "经营项目"},
            "kind": "choice",
            "choices": ["热食类食品制售", "预包装食品销售"],
        },
        {"name": "seats", "label": {"zh": "座位数"}, "kind": "number", "sensitivity": "internal"},
        {"name": "opened", "label": {"zh": "开业日期"}, "kind": "date"},
        {"name": "phone", "label": {"zh": "联系电话"}, "sensitivity": "sensitive"},
    ],
}
HOLDER = {name: PERSON[name] for name in ("kind", "name", "id_number")}
FIELDS = {"place": "拉萨市城关区八廓街1号", "scope": "热食类食品制售", "phone": "13989001234"}
WHY = {"reason": "现场检查发现不再符合许可条件"}
KID = fixed(6001)


class Office:
    """The licences service with a published type and a key that never changes."""

    def __init__(self, golden: Golden, played: Played) -> None:
        self.golden = golden
        self.licenses = played
        self.officer = golden.as_.staff("leader", number=104)
        self.system = golden.as_.system("licenses:issue", "licenses:read")
        self.holder = golden.as_.person(1)
        self.license: dict[str, Any] = {}
        self._keys = 0

    def key(self) -> str:
        self._keys += 1
        return f"license-{self._keys}"

    async def issue(self, caller: Headers | None = None, **changes: Any) -> Answer:
        body = {"type_code": TYPE, "holder": HOLDER, "fields": FIELDS, **changes}
        answer = await self.licenses.post(
            "licenses", caller or self.officer, body=body, key=self.key()
        )
        if answer.status == 201:
            self.license = answer.json
        return answer

    async def act(self, path: str, body: Any = None, *, status: int = 200) -> None:
        answer = await self.licenses.post(
            f"licenses/{self.license['id']}/{path}",
            self.officer,
            body=body or WHY,
            version=self.license["revision"],
        )
        assert answer.status == status, answer.content
        if answer.status == 200:
            self.license = answer.json

    async def show(self) -> None:
        for path in ("", "/versions", "/steps", "/uses"):
            _ = await self.licenses.get(f"licenses/{self.license['id']}{path}", self.holder)


@pytest.fixture
async def office(golden: Golden) -> Office:
    golden.draw_in_turn()
    # Derived from the licence's id, which is another in each run.
    golden.normaliser.random |= {"check_code"}
    played = await golden.service("licenses", development=True, public_url="https://zw.example.cn")
    private, public = inputs.signing_key(KID, 7)
    await played.execute(
        "INSERT INTO signing_key (kid, state, algorithm, private_key, public_key, created_at)"
        " VALUES ($1, 'current', 'EdDSA', $2, $3, '2026-01-01')",
        KID,
        private,
        public,
    )
    office = Office(golden, played)
    _ = await played.put(f"types/{TYPE}", golden.as_.administrator(), body=DOCUMENT)
    await played.take(
        inputs.identity_verified(1, 1, name=PERSON["name"], id_number=PERSON["id_number"])
    )
    return office


async def finish(office: Office) -> None:
    office.golden.section("Tables")
    await office.licenses.timer("counts")
    await office.licenses.dump()
    office.golden.check()


async def test_issue(office: Office) -> None:
    golden = office.golden
    golden.section("By an officer, by a system, for an organisation")
    _ = await office.issue(number="JY15401020000001")
    await office.show()
    _ = await office.issue(
        office.system, valid_from="2026-04-01", valid_until="2026-12-31", case_number="CASE-1"
    )
    firm = {"kind": "organisation", "name": "拉萨雪域茶业有限公司", "id_number": DEPARTMENT}
    _ = await office.issue(holder=firm, number="藏食许(2026)第1号")
    _ = await office.issue(number=PERSON["id_number"])
    _ = await office.licenses.get("licenses", office.holder, limit=2)
    _ = await office.licenses.get(
        "department-licenses", office.officer, status="01", type_code=TYPE
    )

    golden.section("For a decided case")
    holder = {
        "kind": "person",
        "name": PERSON["name"],
        "id_number": PERSON["id_number"],
        "phone": PERSON["phone"],
    }
    sealed = inputs.seal_for(holder, "case.holder")
    decided: dict[str, Any] = {
        "result": "0",
        "decided_on": "2026-03-09",
        "overdue": False,
        "license_type_code": TYPE,
        "holder": sealed,
    }
    granted = inputs.case_event(2, "case-decided", **decided)
    await office.licenses.take(granted)
    await office.licenses.take(
        granted, inputs.case_event(3, "case-decided", case=2, **{**decided, "result": "1"})
    )

    golden.section("Refusals")
    _ = await office.issue(number="JY15401020000001")
    _ = await office.issue(
        fields={"scope": "别的", "seats": "viele", "opened": "gestern", "colour": "red"}
    )
    _ = await office.issue(type_code=f"{DEPARTMENT}099")
    _ = await office.issue(type_code="SPJY", holder={**HOLDER, "id_number": "540102199001010012"})
    _ = await office.issue(golden.as_.staff("leader", number=108, department=NEXT_DOOR))
    _ = await office.issue(golden.as_.staff("window_clerk", number=109))
    _ = await office.issue(valid_from="2026-04-01", valid_until="2026-03-01")
    _ = await office.licenses.get(f"licenses/{fixed(2099)}", office.holder)
    _ = await office.licenses.get(f"licenses/{office.license['id']}", golden.as_.person(2))
    await finish(office)


async def test_life(office: Office) -> None:
    golden = office.golden
    _ = await office.issue(number="JY15401020000001")
    golden.section("Suspended and given back")
    await office.act("suspension")
    await office.act("change", {**WHY, "fields": {"seats": "40"}}, status=409)
    await office.act("release")
    golden.section("Changed and renewed")
    await office.act("change", {**WHY, "fields": {"seats": "viele"}}, status=400)
    await office.act(
        "change", {**WHY, "fields": {"seats": "40", "phone": None}, "holder_name": "卓玛"}
    )
    await office.act("renewal", {**WHY, "valid_until": "2027-01-01"}, status=400)
    await office.act("renewal")
    await office.show()
    golden.section("Ended")
    await office.act("revocation", {**WHY, "kind": "revoke"})
    await office.act("release", status=409)
    for number, kind in (("JY15401020000002", "cancel"), ("JY15401020000003", "withdraw")):
        _ = await office.issue(number=number)
        await office.act("revocation", {**WHY, "kind": kind})
    _ = await office.issue(number="JY15401020000004")
    await office.act("transfer")
    golden.section("Expired")
    _ = await office.issue(number="JY15401020000005", valid_until="2026-03-20")
    golden.clock.move("2026-03-21T00:01")
    await office.licenses.timer("expiry")
    _ = await office.licenses.get(f"licenses/{office.license['id']}", office.officer)
    golden.section("Another key")
    # Its bytes are drawn by lot: only the old key's are shown.
    golden.normaliser.random |= {"x", "private_key", "signature"}
    _ = await office.licenses.post("signing-keys/rotation", golden.as_.administrator())
    _ = await office.issue(number="JY15401020000006")
    _ = await office.licenses.get("keys")
    await finish(office)


async def test_types(office: Office) -> None:
    administrator = office.golden.as_.administrator()
    _ = await office.licenses.get("types")
    _ = await office.licenses.get(f"types/{TYPE}")
    changed = {
        **DOCUMENT,
        "validity": {"unit": "none", "amount": 0},
        "template": "permit",
        "trust": "B",
    }
    _ = await office.licenses.put(f"types/{TYPE}", administrator, body=changed)
    _ = await office.licenses.put(f"types/{TYPE}", administrator, body=changed, version=9)
    _ = await office.licenses.put(f"types/{TYPE}", administrator, body=changed, version=1)
    _ = await office.licenses.get(f"types/{TYPE}/versions/1")
    _ = await office.licenses.get(f"types/{TYPE}/versions/3")
    _ = await office.licenses.put(f"types/{NEXT_DOOR}001", administrator, body=DOCUMENT)
    _ = await office.licenses.put("types/SPJY", administrator, body=DOCUMENT)
    faulty = {
        **DOCUMENT,
        "fields": [{"name": "X", "label": {}, "kind": "choice"}],
        "validity": {"unit": "years"},
    }
    _ = await office.licenses.put(f"types/{TYPE}", administrator, body=faulty, version=2)
    _ = await office.licenses.put(f"types/{TYPE}", office.officer, body=DOCUMENT, version=2)
    _ = await office.issue(number="JY15401020000001")
    await finish(office)


async def test_collection_and_signing(office: Office) -> None:
    golden = office.golden

    def record(number: int, **changes: Any) -> dict[str, Any]:
        return {
            "source_number": f"JY15401020{number:06}",
            "version": 1,
            "type_code": TYPE,
            "holder_kind": "person",
            "holder_name": PERSON["name"],
            "holder_id_number": PERSON["id_number"],
            "fields": {"place": f"拉萨市城关区北京中路{number}号"},
            "issued_on": "2024-03-01",
            "valid_until": "2029-02-28",
            **changes,
        }

    golden.section("A batch")
    moved = {"place": "拉萨市城关区江苏路9号"}
    good = [
        record(1),
        record(2, issuer_name="拉萨市工商局", status="02"),
        record(1, version=2, fields=moved),
    ]
    faulty = [
        record(3, type_code=f"{DEPARTMENT}099"),
        record(4, holder_id_number="540102199001010012", issued_on="2024-02-30"),
        record(5, fields={"scope": "别的"}),
        record(6, valid_until="2020-01-01", colour="red"),
        record(1, version=2),
        {"source_number": "x" * 100},
        "nothing",
    ]
    await office.licenses.take(inputs.records_received(20, "licenses", records=good + faulty))
    golden.section("The same again, older, newer with another status")
    later = [record(1), record(2, status="01", version=2), record(2, version=3, status="03")]
    await office.licenses.take(
        inputs.records_received(21, "licenses", records=later, chunk=2, chunks=2, first_row=11)
    )

    golden.section("Signed by a job")
    job = await office.licenses.post(
        "signing-jobs", office.officer, body={"type_code": TYPE}, key=office.key()
    )
    await office.licenses.timer("signing")
    _ = await office.licenses.get(f"signing-jobs/{job.json['id']}", office.officer)
    _ = await office.licenses.get("department-licenses", office.officer)
    await finish(office)


async def test_checks_and_uses(office: Office) -> None:
    golden = office.golden
    _ = await office.issue(number="JY15401020000001")
    mine = (await office.licenses.get(f"licenses/{office.license['id']}", office.holder)).json
    # It follows from the licence's id.
    golden.normaliser.replace(f"(?i){mine['check_code']}", "check-code")
    from_here = {"X-Forwarded-For": "203.0.113.1"}

    async def check(**body: Any) -> None:
        _ = await office.licenses.post("checks", None, body=body, headers=from_here)

    golden.section("Checks")
    await check(identifier=mine["identifier"], code=mine["check_code"])
    await check(type_code=TYPE, number=mine["number"], code=mine["check_code"].lower())
    await check(identifier=mine["identifier"], code="AAAAAAAA")
    await check(identifier="1.2.156.3005.2.X", code="AAAAAAAA")
    await check(number=mine["number"])
    _ = await office.licenses.call("GET", "checks/nonsense", headers=from_here)

    golden.section("Authorised uses")
    path = f"licenses/{mine['id']}"
    matter = {"matter_code": inputs.MATTER_CODE}
    given = await office.licenses.post(
        f"{path}/authorisations", office.holder, body=matter, key=office.key()
    )
    taken_back = await office.licenses.post(
        f"{path}/authorisations", office.holder, body=matter, key=office.key()
    )
    _ = await office.licenses.call(
        "DELETE", f"{path}/authorisations/{taken_back.json['id']}", caller=office.holder
    )

    async def use(code: str, **changes: Any) -> None:
        body = {
            "auth_code": code,
            "case_number": "CASE-1",
            **matter,
            "reason": "办理开店审批",
            **changes,
        }
        _ = await office.licenses.post(f"{path}/uses", office.system, body=body, key=office.key())

    await use(given.json["auth_code"], matter_code="another")
    await use(given.json["auth_code"])
    await use(given.json["auth_code"])
    await use(taken_back.json["auth_code"])
    await use("A" * 16)
    _ = await office.licenses.get(f"{path}/authorisations", office.holder)

    golden.section("Uses by cases, and intakes")
    used: dict[str, Any] = {
        "license_id": mine["id"],
        "license_type_code": TYPE,
        "material_code": "M2",
        "digest": mine["digest"],
        "operator": fixed(1),
        "reason": "我要开茶馆",
    }
    received: dict[str, Any] = {
        "received_on": "2026-03-09",
        "acceptance_due_on": "2026-03-16",
        "license_materials": 2,
        "licenses_used": 1,
    }
    first = inputs.case_event(30, "case-license-used", **used)
    await office.licenses.take(first, inputs.case_event(31, "case-received", **received))
    await office.licenses.take(first, inputs.case_event(32, "case-license-used", **used))
    _ = await office.licenses.get(f"{path}/uses", office.officer, limit=1)

    golden.section("Figures and prints")
    await office.licenses.timer("counts")
    _ = await office.licenses.get("statistics", office.officer)
    _ = await office.licenses.get(
        "statistics", golden.as_.administrator(), type_code=TYPE, area_code=CITY
    )
    _ = await office.licenses.get(f"{path}/pdf", office.officer)
    # The QR on the page follows from the licence's id.
    _ = await office.licenses.call("GET", f"{path}/pdf", caller=office.holder, stable=False)
    _ = await office.licenses.post(
        f"{path}/prints", office.officer, body={"reason": "补打证照"}, stable=False
    )
    as_of = {"as_of": "2031-03-10T00:01:00+08:00"}
    _ = await office.licenses.post("development/timer-runs", golden.as_.administrator(), body=as_of)

    golden.section("Linked to the account of an organisation")
    firm = {"kind": "organisation", "name": "拉萨雪域茶业有限公司", "id_number": DEPARTMENT}
    _ = await office.issue(holder=firm, number="JY15401020000009")
    await office.licenses.take(inputs.organisation_linked(33, 1, organisation=50, uscc=DEPARTMENT))
    _ = await office.licenses.get("licenses", golden.as_.organisation(50))
    await finish(office)
