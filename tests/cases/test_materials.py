"""What meets a material: an upload, an earlier material, or a promise.

An earlier material comes from a case of the same applicant; a promise needs the guide's leave.
"""

from datetime import date, timedelta
from typing import Any

import pytest

from services.cases.case_file.model.materials import gap_days
from shared import clock
from shared.domain.guides import MatterDocument
from shared.domain.workdays import seed_calendar
from shared.ids import new_id
from tests.builders.matters import a_document
from tests.cases.conftest import APPLICANT, BASE, PDF, Hall
from tests.conftest import TokenFactory, published

CALENDAR = seed_calendar()
PROMISE = {"kind": "promise", "code": "M3"}


def with_gap(**changes: Any) -> MatterDocument:
    """The teahouse, whose floor plan M3 may come later (容缺后补)."""
    document = a_document(**changes).model_dump(mode="json")
    for material in document["materials"]:
        material["necessity"] = "3" if material["code"] == "M3" else material["necessity"]
    return MatterDocument.model_validate(document)


async def promising(hall: Hall) -> dict[str, Any]:
    """A body that promises M3 and brings the rest."""
    body = await hall.application(hall.citizen, matter_version=2)
    return {**body, "materials": [*(m for m in body["materials"] if m["code"] != "M3"), PROMISE]}


async def refused(
    hall: Hall, body: dict[str, Any], headers: dict[str, str]
) -> list[tuple[str, str]]:
    answer = await hall.post(body, headers)
    assert answer.status_code == 400, answer.text
    return [(error["field"], error["rule"]) for error in answer.json()["errors"]]


def replaced(body: dict[str, Any], code: str, material: dict[str, Any]) -> dict[str, Any]:
    return {**body, "materials": [*(m for m in body["materials"] if m["code"] != code), material]}


async def test_material_of_an_earlier_case_is_used_again(hall: Hall) -> None:
    earlier = await hall.apply()
    body = await hall.application(hall.citizen)
    again = {"kind": "earlier_case", "code": "M2", "earlier_case_id": earlier["id"]}
    renamed = {**again, "code": "M3", "earlier_code": "M1"}

    case = (
        await hall.post(replaced(replaced(body, "M2", again), "M3", renamed), hall.citizen)
    ).json()
    file = await hall.client.get(f"{BASE}/files/{case['id']}/materials/M3", headers=hall.citizen)

    origin = {m["code"]: m.get("earlier_code") for m in case["materials"]}
    assert origin == {"M1": None, "M2": "M2", "M3": "M1", "M4": None}
    assert file.content == PDF


async def test_earlier_case_of_somebody_else_gives_nothing(hall: Hall, token: TokenFactory) -> None:
    foreign, of_another_person = (
        await hall.apply(token()),
        {**APPLICANT, "id_number": "540104200002290025"},
    )
    own = await hall.apply(applicant=of_another_person)
    body = await hall.application(hall.citizen)

    for case_id, code in ((foreign["id"], "M2"), (own["id"], "M2"), (str(new_id()), "M2")):
        material = {"kind": "earlier_case", "code": code, "earlier_case_id": case_id}
        found = await refused(hall, replaced(body, code, material), hall.citizen)
        assert found == [("materials.M2.earlier_case_id", "own_case")]


async def test_clerk_reuses_the_earlier_material_of_the_same_person_only(hall: Hall) -> None:
    clerk = hall.officer("window_clerk")
    earlier = await hall.apply(clerk, channel="window")
    other = {**APPLICANT, "id_number": "540104200002290025"}
    material = {"kind": "earlier_case", "code": "M2", "earlier_case_id": earlier["id"]}
    body = replaced(await hall.application(clerk, channel="window"), "M2", material)

    same = await hall.post(body, clerk)
    different = await refused(hall, {**body, "applicant": other}, clerk)

    assert (same.status_code, different) == (201, [("materials.M2.earlier_case_id", "own_case")])


async def test_promise_where_the_guide_does_not_allow_it_is_refused(hall: Hall) -> None:
    await hall.publish(with_gap(), revision=2)
    body = await hall.application(hall.citizen, matter_version=2)
    unknown = {"kind": "licence", "code": "M3"}

    assert await refused(hall, replaced(body, "M1", {**PROMISE, "code": "M1"}), hall.citizen) == [
        ("materials.M1", "promise_allowed")
    ]
    left_out = {**body, "materials": [m for m in body["materials"] if m["code"] != "M3"]}
    assert [
        field for field, _ in await refused(hall, replaced(body, "M3", unknown), hall.citizen)
    ] == ["materials[3]"]
    assert len(await published(hall.client.database)) == 0
    assert await refused(hall, left_out, hall.citizen) == [("materials.M3", "required")]


@pytest.mark.parametrize(
    ("promised", "days"), [(10, 8), (3, 1), (2, 0), (0, -2), (22, 20), (60, 20)]
)
def test_gap_leaves_the_organ_two_days_and_lasts_at_most_twenty(promised: int, days: int) -> None:
    assert gap_days(promised) == days


async def test_promise_needs_time(hall: Hall) -> None:
    await hall.publish(with_gap(promised_days=2, steps=[]), revision=2)

    assert await refused(hall, await promising(hall), hall.citizen) == [
        ("materials.M3", "promise_time")
    ]


async def test_no_result_until_the_promised_material_is_there(hall: Hall) -> None:
    await hall.publish(with_gap(), revision=2)
    case = (await hall.post(await promising(hall), hall.citizen)).json()
    clerk = hall.officer("window_clerk")
    case = await hall.do(case, "acceptance", clerk)
    gap_due_on = case["gap_due_on"]
    for _ in range(2):
        case = await hall.do(
            case, "reviews", hall.officer("approver"), {"opinion": "agree", "text": "符合"}
        )
    early = await hall.act(case, "decision", hall.officer("leader"), {"result": "0"})
    nothing = await hall.client.get(f"{BASE}/files/{case['id']}/materials/M3", headers=hall.citizen)
    upload = (await hall.upload(hall.citizen)).json()["id"]
    other = await hall.act(
        case, "supplements", hall.citizen, {"materials": [{"code": "M1", "upload_id": upload}]}
    )
    again = await hall.act(case, "supplements", hall.citizen, {"materials": [PROMISE]})
    stranger = await hall.act(
        case, "supplements", clerk, {"materials": [{"code": "M3", "upload_id": upload}]}
    )
    in_time = await hall.act(case, "return", clerk, {"reasons": "逾期未补交材料"})

    case = await hall.do(
        case, "supplements", hall.citizen, {"materials": [{"code": "M3", "upload_id": upload}]}
    )
    decided = await hall.do(case, "decision", hall.officer("leader"), {"result": "0"})

    today = clock.local_date(clock.now())
    assert gap_due_on == CALENDAR.add_working_days(today, 8).isoformat()
    assert (early.status_code, early.json()["promised"], nothing.status_code) == (409, ["M3"], 404)
    assert [a.status_code for a in (other, again, stranger, in_time)] == [409, 400, 404, 409]
    assert (case["gap_due_on"], decided["state"]) == (None, "decided")


async def test_missed_promise_lets_the_case_be_returned(hall: Hall) -> None:
    await hall.publish(with_gap(), revision=2)
    case = (await hall.post(await promising(hall), hall.citizen)).json()
    case = await hall.do(case, "acceptance", hall.officer("window_clerk"))
    connection = await hall.client.database.connect()
    yesterday = date.fromisoformat(clock.local_date(clock.now()).isoformat()) - timedelta(days=1)
    _ = await connection.execute("UPDATE case_file SET gap_due_on = $1", yesterday)
    await connection.close()

    returned = await hall.do(
        case, "return", hall.officer("window_clerk"), {"reasons": "逾期未补交容缺材料"}
    )

    assert (returned["state"], returned["result"]) == ("returned", "5")


async def test_clerk_supplies_for_who_applied_at_the_window(hall: Hall) -> None:
    clerk = hall.officer("window_clerk")
    case = await hall.apply(clerk, channel="window")
    case = await hall.do(
        case,
        "correction-requests",
        clerk,
        {"items": [{"material_code": "M4", "text": "缺少签字页"}]},
    )
    upload = (await hall.upload(clerk)).json()["id"]
    materials = {"materials": [{"code": "M4", "upload_id": upload}]}

    elsewhere = await hall.act(
        case, "corrections", hall.officer("window_clerk", department="OTHER"), materials
    )
    approver = await hall.act(case, "corrections", hall.officer("approver"), materials)
    corrected = await hall.do(case, "corrections", clerk, materials)

    assert (elsewhere.status_code, approver.status_code, corrected["state"]) == (
        404,
        404,
        "received",
    )
