"""One-thing bundles (一件事).

Their order, one set of materials, publication, and the guide over all children.
"""

import itertools
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.bundles import (
    BundleDocument,
    BundleSnapshot,
    check_order,
    find_cycle,
    merge_materials,
    waits_for,
)
from shared.domain.guides import Material
from tests.builders.bundles import LICENCE, TRADE, a_bundle, the_licence, the_trade_register
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import Headers, ServiceClient, TokenFactory, published
from tests.matters.conftest import BASE, Keeper

BUNDLES = f"{BASE}/bundles"
ANSWERS = {LICENCE: {"Q1": "rent", "Q2": "yes"}}


class Lead:
    """Plays the lead department over HTTP."""

    def __init__(self, keeper: Keeper) -> None:
        self.client, self.headers, self.keeper = keeper.client, keeper.headers, keeper
        self.matters: dict[str, dict[str, Any]] = {}
        self._keys = 0

    async def document(self, **changes: Any) -> BundleDocument:
        """The bundle over two published matters."""
        for code, document in ((TRADE, the_trade_register()), (LICENCE, the_licence())):
            if code not in self.matters:
                self.matters[code] = await self.keeper.publish(document)
        ids = {code: UUID(matter["id"]) for code, matter in self.matters.items()}
        return a_bundle(ids, **changes)

    async def draft(self, document: BundleDocument) -> Any:
        self._keys += 1
        headers = {**self.headers, "Idempotency-Key": f"bundle-{self._keys}"}
        body = document.model_dump(mode="json")
        return await self.client.post(f"{BUNDLES}/drafts", json=body, headers=headers)

    async def act(self, path: str, revision: int, body: Any = None, method: str = "POST") -> Any:
        headers = {**self.headers, "If-Match": f'"{revision}"'}
        return await self.client.request(method, f"{BUNDLES}/{path}", json=body, headers=headers)

    async def publish(self, **changes: Any) -> dict[str, Any]:
        drafted = (await self.draft(await self.document(**changes))).json()
        done = await self.act(f"drafts/{drafted['id']}/publication", drafted["revision"])
        assert done.status_code == 200, done.text
        return done.json()


@pytest.fixture
def lead(keeper: Keeper) -> Lead:
    return Lead(keeper)


def of(waits: dict[str, tuple[str, ...]]) -> BundleDocument:
    return BundleDocument.model_validate(
        {
            "code": "B",
            "name": {"zh": "一件事"},
            "area_code": CITY,
            "department_code": DEPARTMENT,
            "children": [
                {"code": code, "matter_id": uuid4(), "after": after}
                for code, after in waits.items()
            ],
        }
    )


@st.composite
def orders(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Any order without a cycle.

    Each child waits for some that stand before it in a hidden sequence.
    """
    hidden = draw(st.permutations([f"c{n}" for n in range(draw(st.integers(2, 12)))]))
    before = {code: hidden[:place] for place, code in enumerate(hidden)}
    chosen = {
        code: draw(st.sets(st.sampled_from(early)) if early else st.just(set[str]()))
        for code, early in before.items()
    }
    return {code: tuple(sorted(chosen[code])) for code in draw(st.permutations(hidden))}


@given(orders())
def test_any_order_without_a_cycle_is_good(waits: dict[str, tuple[str, ...]]) -> None:
    document = of(waits)

    assert check_order(document) == []
    assert all(code not in waits_for(document, code) for code in waits)


@given(orders(), st.data())
def test_any_cycle_is_found_and_told(
    waits: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    ring = data.draw(st.lists(st.sampled_from(sorted(waits)), min_size=1, unique=True))
    for code, other in zip(ring, [*ring[1:], ring[0]], strict=True):
        waits[code] = (*waits[code], other)

    found = find_cycle(waits)

    assert found[0] == found[-1]
    assert all(after in waits[code] for code, after in itertools.pairwise(found))
    assert [fault.rule for fault in check_order(of(waits))] == ["no_cycle"]


def material(code: str, name: str, **more: Any) -> Material:
    return Material.model_validate({"code": code, "name": {"zh": name}, **more})


def test_materials_are_one_by_licence_type_or_by_name_and_form_and_say_who_needs_them() -> None:
    first = [
        material("M1", "身份证", license_type_code="SFZ", necessity="2"),
        material("M2", "平面图", form="paper", copies=1),
    ]
    second = [
        material("X1", "居民身份证", license_type_code="SFZ"),
        material("X2", "平面图", form="paper", copies=3),
        material("X3", "平面图", form="electronic"),
    ]

    merged = merge_materials([("a", first), ("b", second)])

    needs = [[(need.child, need.material) for need in one.needed_by] for one in merged]
    assert needs == [[("a", "M1"), ("b", "X1")], [("a", "M2"), ("b", "X2")], [("b", "X3")]]
    assert [(one.necessity, one.copies) for one in merged] == [("1", 1), ("1", 3), ("1", 1)]


def test_two_materials_of_one_child_stay_two() -> None:
    both = [
        material("M1", "男方身份证", license_type_code="SFZ"),
        material("M2", "女方身份证", license_type_code="SFZ"),
    ]

    merged = merge_materials([("a", both), ("b", both)])

    assert [len(one.needed_by) for one in merged] == [2, 2]


async def test_published_bundle_shows_one_set_of_materials_without_results(
    client: ServiceClient, lead: Lead
) -> None:
    head = await lead.publish()

    shown = (await client.get(f"{BUNDLES}/{head['id']}")).json()

    assert (shown["version"], shown["open"]) == (1, True)
    assert [child["state"] for child in shown["children"]] == ["published", "published"]
    names = {
        one["name"]["zh"]: [need["child"] for need in one["needed_by"]]
        for one in shown["materials"]
    }
    assert names["房屋租赁合同"] == [TRADE, LICENCE]
    assert "营业执照" not in names


async def test_publication_tells_the_whole_snapshot(client: ServiceClient, lead: Lead) -> None:
    head = await lead.publish()

    *_, event = await published(client.database)
    told = BundleSnapshot.model_validate(event.data["document"])

    assert (event.type, event.key) == ("tongban.matters.bundle-published.v1", head["id"])
    assert (event.data["version"], event.data["open"], event.data["code"]) == (1, True, "TEAHOUSE")
    assert [matter.code for matter in told.matters] == [TRADE, LICENCE]
    assert len(told.materials) > 0


async def test_guide_answers_all_children_at_once_and_is_frozen(
    client: ServiceClient, lead: Lead
) -> None:
    head = await lead.publish()

    guide = (
        await client.post(f"{BUNDLES}/{head['id']}/personal-guide", json={"answers": ANSWERS})
    ).json()
    again = (
        await client.post(f"{BUNDLES}/{head['id']}/personal-guide", json={"answers": ANSWERS})
    ).json()
    other = {LICENCE: {"Q1": "own", "Q2": "yes"}}
    changed = (
        await client.post(f"{BUNDLES}/{head['id']}/personal-guide", json={"answers": other})
    ).json()

    single = {"matter_id": lead.matters[LICENCE]["id"], "answers": ANSWERS[LICENCE]}
    alone = (await client.post(f"{BASE}/personal-guides", json=single)).json()
    assert guide["children"][1]["guide"]["digest"] == alone["digest"]
    assert guide["digest"] == again["digest"] != changed["digest"]
    assert [(link["of"], link["material"]) for link in guide["results"]] == [(TRADE, "M2")]
    assert "不动产权证书" not in {one["name"]["zh"] for one in guide["materials"]}


async def test_every_wrong_answer_of_every_child_is_told(client: ServiceClient, lead: Lead) -> None:
    head = await lead.publish()

    wrong = {"nobody": {}, TRADE: {"Q7": "x"}, LICENCE: {"Q1": "borrowed"}}
    answer = await client.post(f"{BUNDLES}/{head['id']}/personal-guide", json={"answers": wrong})

    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {
        "answers.nobody",
        f"answers.{TRADE}.Q7",
        f"answers.{LICENCE}.Q1",
    }


async def test_every_breach_is_told_and_stops_publication(
    client: ServiceClient, lead: Lead
) -> None:
    document = await lead.document()
    broken = document.model_dump(mode="json")
    broken["children"] += [
        {"code": "ghost", "matter_id": str(uuid4()), "after": [LICENCE], "fields": ["none"]},
        {"code": "lost", "matter_id": str(uuid4()), "after": ["nowhere"]},
    ]
    broken["children"][0]["after"] = [LICENCE]
    broken["fields"] += [{"code": "spare", "label": {"zh": "多余"}}]
    broken["results"] += [
        {"of": LICENCE, "child": TRADE, "material": "M99"},
        {"of": LICENCE, "child": "missing", "material": "M1"},
        {"of": "ghost", "child": LICENCE, "material": "M1"},
    ]

    drafted = (await lead.draft(BundleDocument.model_validate(broken))).json()
    refused = await lead.act(f"drafts/{drafted['id']}/publication", drafted["revision"])

    assert refused.status_code == 409
    told = {(error["field"], error["rule"]) for error in refused.json()["errors"]}
    assert told == {(breach["field"], breach["rule"]) for breach in drafted["breaches"]}
    assert told == {
        ("children.ghost.matter_id", "published"),
        ("children.lost.matter_id", "published"),
        ("children.lost.after", "exists"),
        ("children.after", "no_cycle"),
        ("children.ghost.fields", "exists"),
        ("fields.spare", "used"),
        ("results.1.material", "exists"),
        ("results.2.child", "exists"),
        ("results.3.of", "in_order"),
    }
    assert (await client.get(f"{BUNDLES}/{drafted['id']}")).status_code == 404


async def test_result_can_only_come_from_a_matter_that_has_one_and_meets_a_material_once(
    lead: Lead,
) -> None:
    document = await lead.document()
    twice = document.model_copy(update={"results": (*document.results, *document.results)})

    drafted = (await lead.draft(twice)).json()

    assert [(b["field"], b["rule"]) for b in drafted["breaches"]] == [("results", "unique")]


async def test_published_version_is_immutable_and_the_next_stands_beside_it(
    client: ServiceClient, lead: Lead
) -> None:
    head = await lead.publish()
    changed = await lead.document(summary="一次申请, 两证同发")

    drafted = await lead.act(
        f"drafts/{head['id']}", head["revision"], changed.model_dump(mode="json"), "PUT"
    )
    before = (await client.get(f"{BUNDLES}/{head['id']}")).json()
    stale = await lead.act(f"drafts/{head['id']}/publication", head["revision"])
    done = await lead.act(f"drafts/{head['id']}/publication", drafted.json()["revision"])
    after = (await client.get(f"{BUNDLES}/{head['id']}")).json()

    assert (drafted.json()["draft_version"], stale.status_code, done.status_code) == (2, 412, 200)
    assert (before["version"], before["document"]["summary"]) == (1, None)
    assert (after["version"], after["document"]["summary"]) == (2, "一次申请, 两证同发")


async def test_renamed_draft_of_an_unpublished_bundle_has_its_new_name(lead: Lead) -> None:
    document = await lead.document()
    drafted = (await lead.draft(document)).json()
    renamed = {**document.model_dump(mode="json"), "name": {"zh": "开甜茶馆一件事"}}

    changed = await lead.act(f"drafts/{drafted['id']}", drafted["revision"], renamed, "PUT")

    assert (changed.json()["name"], changed.json()["draft_version"]) == ("开甜茶馆一件事", 1)


async def test_bundle_is_closed_while_a_child_is_suspended(
    client: ServiceClient, lead: Lead
) -> None:
    head = await lead.publish()
    matter = lead.matters[LICENCE]
    closed = await lead.keeper.act(
        f"catalogue/{matter['id']}/suspension", matter["revision"], {"reason": "法规修订, 暂停办理"}
    )

    shown = (await client.get(f"{BUNDLES}/{head['id']}")).json()
    listed = (await client.get(BUNDLES)).json()["items"]
    asked = await client.post(f"{BUNDLES}/{head['id']}/personal-guide", json={"answers": ANSWERS})

    assert closed.status_code == 200
    assert (shown["open"], [child["state"] for child in shown["children"]]) == (
        False,
        ["published", "suspended"],
    )
    assert [item["open"] for item in listed] == [False]
    assert (asked.status_code, asked.json()["closed_children"]) == (409, [LICENCE])


async def test_withdrawn_bundle_is_gone_and_everyone_hears_of_it(
    client: ServiceClient, lead: Lead
) -> None:
    head = await lead.publish()

    done = await lead.act(
        f"{head['id']}/withdrawal", head["revision"], {"reason": "事项整合, 另行公布"}
    )
    again = await lead.act(
        f"{head['id']}/withdrawal", done.json()["revision"], {"reason": "事项整合, 另行公布"}
    )

    assert (done.status_code, again.status_code) == (200, 409)
    assert (await client.get(f"{BUNDLES}/{head['id']}")).status_code == 404
    assert (await published(client.database))[-1].data["open"] is False


@pytest.mark.parametrize(("words", "number"), [("茶馆", 1), ("开茶", 1), ("甜茶", 1), ("旅馆", 0)])
async def test_bundles_are_found_by_two_characters(
    client: ServiceClient, lead: Lead, words: str, number: int
) -> None:
    _ = await lead.publish()

    found = (await client.get(BUNDLES, params={"q": words})).json()["items"]

    assert len(found) == number


async def test_only_the_head_of_the_lead_department_or_an_administrator_keeps_a_bundle(
    client: ServiceClient, lead: Lead, token: TokenFactory, administrator: Headers
) -> None:
    document = await lead.document()
    drafted = (await lead.draft(document)).json()
    other = token(
        kind="staff", roles=["department_head"], area=CITY, department="11540100MB0Q01905U"
    )
    approver = token(kind="staff", roles=["approver"], area=CITY, department=DEPARTMENT)
    path, body = f"{BUNDLES}/drafts/{drafted['id']}", document.model_dump(mode="json")

    statuses = [
        (await client.put(path, json=body, headers={**headers, "If-Match": '"1"'})).status_code
        for headers in (other, approver, token(), administrator)
    ]
    written = await client.post(
        f"{BUNDLES}/drafts", json=body, headers={**other, "Idempotency-Key": "k"}
    )
    unconditional = await client.put(path, json=body, headers=lead.headers)

    assert (statuses, written.status_code, unconditional.status_code) == (
        [404, 403, 403, 200],
        400,
        428,
    )


async def test_code_stands_for_one_bundle_in_its_area(lead: Lead) -> None:
    document = await lead.document()
    first = (await lead.draft(document)).json()

    second = await lead.draft(document)

    assert (second.status_code, second.json()["bundle_id"]) == (409, first["id"])


async def test_drafts_of_the_department_are_listed(
    client: ServiceClient, lead: Lead, token: TokenFactory
) -> None:
    drafted = (await lead.draft(await lead.document())).json()
    other = token(
        kind="staff", roles=["department_head"], area=CITY, department="11540100MB0Q01905U"
    )

    own = (await client.get(f"{BUNDLES}/drafts", headers=lead.headers)).json()["items"]
    shown = (await client.get(f"{BUNDLES}/drafts/{drafted['id']}", headers=lead.headers)).json()

    assert [item["id"] for item in own] == [drafted["id"]]
    assert shown["document"]["code"] == "TEAHOUSE"
    assert (await client.get(f"{BUNDLES}/drafts", headers=other)).json()["items"] == []
