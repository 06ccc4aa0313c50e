"""Matters (事项): drafts, publication, guides, search, bundles, imports, supervision records."""

from typing import Any

import orjson
import pytest

from tests.golden import inputs
from tests.golden.inputs import MATTER_CODE, NEXT_DOOR, OWN, PERSON, RENT, TEAHOUSE, TRADE
from tests.golden.normalise import fixed
from tests.golden.recorder import CITY, DEPARTMENT, Answer, Golden, Played

DIRECTORY = {
    "areas": [{"code": CITY, "name": {"zh": "拉萨市", "bo": "ལྷ་ས་གྲོང་ཁྱེར།"}}],
    "departments": [
        {"area_code": CITY, "code": DEPARTMENT, "name": {"zh": "市场监督管理局"}},
        {"area_code": CITY, "code": NEXT_DOOR, "name": {"zh": "卫生健康委员会"}},
    ],
}
FOREIGN_KEYS = """
    SELECT conrelid::regclass::text AS name, conname FROM pg_constraint WHERE contype = 'f'
"""
ITEMS = [
    {"sequence": "01", "code": f"{MATTER_CODE}01", "name": {"zh": "办理项1"}},
    {"sequence": "02", "code": f"{MATTER_CODE}02", "name": {"zh": "办理项2"}, "promised_days": 3},
]
ENTRY = {
    "code": "000117051000",
    "name": "食品经营许可",
    "type": "01",
    "by_law": "中华人民共和国食品安全法第三十五条",
    "use_levels": ["3", "4"],
}


class Desk:
    """The matters service with its directory, and the head of a department who keeps the catalogue."""

    def __init__(self, golden: Golden, played: Played) -> None:
        self.golden = golden
        self.matters = played
        self.head = golden.as_.staff("department_head", number=106)
        self.neighbour = golden.as_.staff("department_head", number=126, department=NEXT_DOOR)
        self.administrator = golden.as_.administrator()
        self._keys = 0

    def key(self) -> str:
        self._keys += 1
        return f"matter-{self._keys}"

    async def publish(self, document: dict[str, Any], number: int) -> int:
        """Draft, review, publish; then the matter gets the id `fixed(number)`. Its revision."""
        who = self.neighbour
        if document["department_code"] == DEPARTMENT:
            who = self.head
        draft = await self.matters.post("drafts", who, body=document, key=self.key())
        path = f"drafts/{draft.json['id']}"
        reviewed = await self.matters.post(f"{path}/review", who, version=draft.version)
        done = await self.matters.post(f"{path}/publication", who, version=reviewed.version)
        assert done.status == 200, done.content
        await self._rename(str(done.json["id"]), fixed(number))
        return done.version

    async def _rename(self, old: str, new: str) -> None:
        """Another identifier, so that digests over it are the same in every run."""
        for row in await self.matters.fetch(FOREIGN_KEYS):
            await self.matters.execute(
                f"ALTER TABLE {row['name']} DROP CONSTRAINT {row['conname']}"
            )
        await self.matters.execute(
            "UPDATE matter SET id = $1::text::uuid WHERE id = $2::text::uuid", new, old
        )
        await self.matters.execute(
            "UPDATE matter_version SET matter_id = $1::text::uuid WHERE matter_id = $2::text::uuid",
            new,
            old,
        )

    async def ask(self, answers: dict[str, str], matter: str = TEAHOUSE, **more: Any) -> Answer:
        return await self.matters.post(
            "personal-guides", None, body={"matter_id": matter, "answers": answers, **more}
        )


@pytest.fixture
async def desk(golden: Golden) -> Desk:
    desk = Desk(golden, await golden.service("matters"))
    stored = await desk.matters.put("directory", desk.administrator, body=DIRECTORY)
    assert stored.status == 204
    return desk


async def finish(desk: Desk) -> None:
    desk.golden.section("Tables")
    await desk.matters.dump()
    desk.golden.check()


async def test_publication_and_guides(desk: Desk) -> None:
    golden, matters = desk.golden, desk.matters
    golden.section("A first version")
    revision = await desk.publish(inputs.document("teahouse"), 1001)
    path = f"catalogue/{TEAHOUSE}"
    _ = await matters.get(path)

    golden.section("Guides for situations")
    assert (await desk.ask(RENT)).json["digest"] == inputs.RENT_DIGEST
    assert (await desk.ask(OWN)).json["digest"] == inputs.OWN_DIGEST
    _ = await desk.ask({"Q1": "lend", "Q9": "x"})
    _ = await desk.ask({})
    _ = await desk.ask(RENT, fixed(1099))

    golden.section("A second version beside it")
    second = inputs.with_promise(inputs.document("teahouse", aliases=["茶馆"], summary=None))
    refused = await matters.put(f"drafts/{TEAHOUSE}", desk.head, body=second, version=revision)
    assert refused.status == 400
    del second["summary"]
    changed = await matters.put(f"drafts/{TEAHOUSE}", desk.head, body=second, version=revision)
    _ = await matters.get("work-list", desk.head)
    reviewed = await matters.post(f"drafts/{TEAHOUSE}/review", desk.head, version=changed.version)
    done = await matters.post(f"drafts/{TEAHOUSE}/publication", desk.head, version=reviewed.version)
    _ = await matters.get(f"{path}/versions", desk.head)
    _ = await matters.get(f"{path}/versions/1/differences/2", desk.head)
    assert (await desk.ask(RENT)).json["digest"] == inputs.GAP_DIGEST
    assert (await desk.ask(RENT, version=1)).json["digest"] == inputs.RENT_DIGEST

    golden.section("Closed")
    reason = {"reason": "法规修订, 暂停办理"}
    suspended = await matters.post(
        f"{path}/suspension", desk.head, body=reason, version=done.version
    )
    _ = await matters.get(path)
    _ = await matters.post(
        f"{path}/cancellation", desk.head, body={"reason": "取消"}, version=suspended.version
    )
    _ = await matters.post(
        f"{path}/cancellation", desk.head, body=reason, version=suspended.version
    )
    _ = await matters.put(
        f"drafts/{TEAHOUSE}", desk.head, body=second, version=suspended.version + 1
    )
    await finish(desk)


async def test_rules_of_drafts(desk: Desk) -> None:
    golden, matters = desk.golden, desk.matters
    golden.section("Breaches")
    breaches: tuple[dict[str, Any], ...] = (
        {"promised_days": 30, "faq": [], "consult_phone": "1", "name": {"zh": "我要开茶馆"}},
        {"project_type": "1", "visits": 0, "charged": True, "objects": None},
        {
            "project_type": "1",
            "visits": 0,
            "charged": True,
            "object_types": [],
            "places": [],
            "basis": [],
        },
        {"first_question": "Q9", "result": {"kind": "approval", "type": "出证", "name": "批复"}},
        {
            "handling_items": [
                {**ITEMS[0], "code": f"{MATTER_CODE}00"},
                {**ITEMS[1], "promised_days": 21},
            ]
        },
        {"catalog_entry": {**ENTRY, "state": "3"}, "code": MATTER_CODE[:-1]},
    )
    for number, changes in enumerate(breaches):
        document = inputs.document(
            "teahouse", code=None, local_code=f"L-{number}", catalog_code=None
        )
        draft = await matters.post(
            "drafts", desk.head, body={**document, **changes}, key=desk.key()
        )
        if draft.status == 201:
            _ = await matters.post(
                f"drafts/{draft.json['id']}/review", desk.head, version=draft.version
            )
    golden.section("Handling items and an entry of the catalogue")
    _ = await desk.publish(
        inputs.document("teahouse", handling_items=ITEMS, catalog_entry=ENTRY), 1001
    )
    golden.section("Refusals")
    teahouse = inputs.document("teahouse")
    _ = await matters.post("drafts", desk.head, body=teahouse, key=desk.key())
    _ = await matters.post("drafts", desk.neighbour, body=teahouse, key=desk.key())
    _ = await matters.post("drafts", golden.as_.person(1), body=teahouse, key=desk.key())
    _ = await matters.post("drafts", desk.head, body=teahouse)
    _ = await matters.post("drafts", desk.head, body={"name": {}, "surplus": 1}, key=desk.key())
    _ = await matters.put(f"drafts/{TEAHOUSE}", desk.head, body=teahouse, version=1)
    _ = await matters.put(f"drafts/{TEAHOUSE}", desk.neighbour, body=teahouse, version=3)
    _ = await matters.put(f"drafts/{TEAHOUSE}", desk.head, body=teahouse)
    await finish(desk)


async def test_search(desk: Desk) -> None:
    matters = desk.matters
    _ = await desk.publish(inputs.document("teahouse"), 1001)
    _ = await desk.publish(inputs.document("trade"), 1002)
    for number, name in enumerate(("茶馆歇业备案", "食品经营许可"), 1):
        more = {
            "code": None,
            "catalog_code": None,
            "local_code": f"L-{number}",
            "visits": 0,
            "accepts_post": True,
        }
        text = inputs.document(
            "teahouse", name={"zh": name, "bo": "ཇ་ཁང་།"}, visits_reason=None, aliases=[], **more
        )
        _ = await desk.publish(text, 1010 + number)
    desk.golden.section("Found")
    for words in ("茶馆", "开甜", MATTER_CODE, "ཇ་ཁང", "身份证丢了"):
        _ = await matters.get("catalogue", q=words)
    page = await matters.get("catalogue", q="茶馆", limit=1)
    _ = await matters.get("catalogue", q="茶馆", limit=1, cursor=page.json["next"])
    _ = await matters.call(
        "GET", "catalogue", params={"q": "茶馆"}, headers={"Accept-Language": "bo"}
    )
    questions: tuple[dict[str, Any], ...] = (
        {"limit": 2},
        {"area": CITY, "department": NEXT_DOOR},
        {"type": "07"},
        {"object": "2", "topic": "食品经营", "level": 3},
        {"one_visit": "true", "wholly_online": "true"},
        {"q": "x"},
        {"limit": 2, "cursor": "nonsense"},
    )
    for asked in questions:
        _ = await matters.get("catalogue", **asked)
    _ = await matters.get("suggestions", q="茶馆")
    _ = await matters.get("statistics")
    _ = await matters.get("areas")
    _ = await matters.get("departments", area=CITY)
    # The texts are in `publication_and_guides`; what they are found by is in the table `matter`.
    await matters.dump("matter")
    desk.golden.check()


async def test_bundles(desk: Desk) -> None:
    golden, matters = desk.golden, desk.matters
    revision = await desk.publish(inputs.document("teahouse"), 1001)
    _ = await desk.publish(inputs.document("trade"), 1002)
    bundle = inputs.document("bundle")

    golden.section("Breaches")
    broken = {
        **bundle,
        "code": "BROKEN",
        "children": [
            {**bundle["children"][0], "after": ["licence"]},
            bundle["children"][1],
            {"code": "ghost", "matter_id": fixed(1097), "after": ["nowhere"], "fields": ["none"]},
        ],
        "fields": [*bundle["fields"], {"code": "spare", "label": {"zh": "多余"}}],
        "results": [*bundle["results"], {"of": "licence", "child": "missing", "material": "M99"}],
    }
    draft = await matters.post("bundles/drafts", desk.head, body=broken, key=desk.key())
    _ = await matters.post(
        f"bundles/drafts/{draft.json['id']}/publication", desk.head, version=draft.version
    )

    golden.section("Published")
    draft = await matters.post("bundles/drafts", desk.head, body=bundle, key=desk.key())
    path = f"bundles/drafts/{draft.json['id']}"
    _ = await matters.get(path, desk.head)
    _ = await matters.get("bundles/drafts", desk.head)
    done = await matters.post(f"{path}/publication", desk.head, version=draft.version)
    await matters.execute(
        "UPDATE bundle_version SET bundle_id = $1::text::uuid WHERE bundle_id = $2::text::uuid",
        inputs.BUNDLE,
        done.json["id"],
    )
    await matters.execute(
        "UPDATE bundle SET id = $1::text::uuid WHERE id = $2::text::uuid",
        inputs.BUNDLE,
        done.json["id"],
    )
    public = f"bundles/{inputs.BUNDLE}"
    _ = await matters.get(public)
    _ = await matters.get("bundles", q="茶馆")

    golden.section("Guides")
    guide = await matters.post(
        f"{public}/personal-guide", None, body={"answers": {"licence": RENT}}
    )
    assert guide.json["digest"] == inputs.BUNDLE_DIGEST
    _ = await matters.post(f"{public}/personal-guide", None, body={"answers": {"licence": OWN}})
    wrong = {"nobody": {}, "trade": {"Q7": "x"}, "licence": {"Q1": "borrowed"}}
    _ = await matters.post(f"{public}/personal-guide", None, body={"answers": wrong})

    golden.section("The next version, a child suspended, withdrawn")
    changed = {**bundle, "summary": "一次申请, 两证同发"}
    draft = await matters.put(
        f"bundles/drafts/{inputs.BUNDLE}", desk.head, body=changed, version=done.version
    )
    done = await matters.post(
        f"bundles/drafts/{inputs.BUNDLE}/publication", desk.head, version=draft.version
    )
    reason = {"reason": "法规修订, 暂停办理"}
    _ = await matters.post(
        f"catalogue/{TEAHOUSE}/suspension", desk.head, body=reason, version=revision
    )
    _ = await matters.get(public)
    _ = await matters.post(f"{public}/personal-guide", None, body={"answers": {"licence": RENT}})
    withdrawn = await matters.post(
        f"{public}/withdrawal", desk.head, body=reason, version=done.version
    )
    _ = await matters.post(
        f"{public}/withdrawal", desk.head, body=reason, version=withdrawn.version
    )
    assert bundle["children"][0]["matter_id"] == TRADE
    desk.golden.section("Tables")
    await matters.dump("bundle", "bundle_version", "audit")
    desk.golden.check()


async def test_imports(desk: Desk) -> None:
    golden, matters = desk.golden, desk.matters
    heading = "department,main_item,name,item_code,area_code,task_type,department_code"

    def rows(*lines: str) -> bytes:
        return "\n".join([heading, *lines, ""]).encode()

    def row(name: str, code: str, *, area: str = CITY, kind: str = "1") -> str:
        return f"市场监督管理局,未分类,{name},{code},{area},{kind},{DEPARTMENT}"

    async def send(content: bytes, name: str = "catalogue.csv") -> Answer:
        kind = {"Content-Type": "text/csv", "X-Filename": name}
        return await matters.post(
            "imports", desk.administrator, content=content, headers=kind, key=desk.key()
        )

    golden.section("A file")
    lines = [
        row("居民身份证补领", "L-1"),
        row("婚姻登记", "L-2"),
        row("", "L-3"),
        row("坏代码", MATTER_CODE[:-1]),
    ]
    first = await send(
        rows(
            *lines,
            row("重复", "L-1"),
            row("外地", "L-4", area="000000000000"),
            row("类型", "L-5", kind="99"),
        )
    )
    _ = await matters.get(f"imports/{first.json['id']}/rows", desk.administrator)
    _ = await matters.get(
        f"imports/{first.json['id']}/rows", desk.administrator, outcome="refused", limit=1
    )
    golden.section("Again, changed")
    _ = await send(
        rows(row("居民身份证补领", "L-1"), row("结婚登记", "L-2")).decode().encode("gbk")
    )
    _ = await send(b"no,catalogue\n1,2\n")
    _ = await send(b"\x00\x01\x02")

    golden.section("Whole documents")
    good = orjson.dumps(inputs.document("teahouse"))
    strange = orjson.dumps(inputs.document("trade", department_code="UNKNOWN"))
    content = b"\n".join([good, b"{}", b"nothing", strange, good])
    ndjson = {"Content-Type": "application/x-ndjson"}
    _ = await matters.post(
        "catalogue-documents", desk.administrator, content=content, headers=ndjson
    )
    _ = await matters.post("catalogue-documents", desk.administrator, content=good, headers=ndjson)
    _ = await matters.post("catalogue-documents", desk.head, content=good, headers=ndjson)
    await finish(desk)


async def test_supervision(desk: Desk) -> None:
    golden, matters = desk.golden, desk.matters

    def record(number: int, **changes: Any) -> dict[str, Any]:
        return {
            "source_number": f"JC-{number}",
            "version": 1,
            "regulatory_code": "54011200010001",
            "behaviour": "06",
            "object": {"kind": "organisation", "number": DEPARTMENT},
            "done_on": "2026-03-09",
            "result": "合格",
            "officers": 2,
            **changes,
        }

    person = {"kind": "person", "number": PERSON["id_number"]}
    bad = {
        "regulatory_code": "123",
        "behaviour": "99",
        "done_on": "2999-01-01",
        "object": {**person, "number": "1"},
    }
    records = [
        record(1),
        record(2, behaviour="02", officers=1, object=person),
        record(3, **bad),
        record(4, officers=1),
        "no record",
        record(1),
        record(1, version=2, behaviour="03", result="不合格"),
    ]
    await matters.take(inputs.records_received(1, "supervision", records=records))
    golden.section("Another chunk: known, older, newer")
    later = [record(1), record(2, version=2, behaviour="10"), record(9, colour="red")]
    await matters.take(
        inputs.records_received(2, "supervision", records=later, chunk=2, chunks=2, first_row=501)
    )
    golden.section("Figures")
    _ = await matters.get("supervision/statistics", desk.head)
    _ = await matters.get(
        "supervision/statistics", desk.administrator, area=CITY, department=NEXT_DOOR
    )
    _ = await matters.get("supervision/statistics", desk.head, department=NEXT_DOOR)
    await finish(desk)
