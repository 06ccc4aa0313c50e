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
from tests.cases.conftest import APPLICANT, BASE, PDF, StackFixture
from tests.conftest import TokenFactory, published

CALENDAR = seed_calendar()
PROMISE = {"kind": "promise", "code": "M3"}


def with_gap(**changes: Any) -> MatterDocument:
    """The teahouse, whose floor plan M3 may come later (容缺后补)."""
    document = a_document(**changes).model_dump(mode="json")
    for material in document["materials"]:
        material["necessity"] = "3" if material["code"] == "M3" else material["necessity"]
    return MatterDocument.model_validate(document)


async def promising(stack: StackFixture) -> dict[str, Any]:
    """A body that promises M3 and brings the rest."""
    body = await stack.application(stack.citizen, matter_version=2)
    return {**body, "materials": [*(m for m in body["materials"] if m["code"] != "M3"), PROMISE]}


async def refused(
    stack: StackFixture, body: dict[str, Any], headers: dict[str, str]
) -> list[tuple[str, str]]:
    answer = await stack.post(body, headers)
    assert answer.status_code == 400, answer.text
    return [(error["field"], error["rule"]) for error in answer.json()["errors"]]


def replaced(body: dict[str, Any], code: str, material: dict[str, Any]) -> dict[str, Any]:
    return {**body, "materials": [*(m for m in body["materials"] if m["code"] != code), material]}


async def test_material_of_an_earlier_case_is_used_again(stack: StackFixture) -> None:
    earlier = await stack.apply()
    body = await stack.application(stack.citizen)
    again = {"kind": "earlier_case", "code": "M2", "earlier_case_id": earlier["id"]}
    renamed = {**again, "code": "M3", "earlier_code": "M1"}

    case = (
        await stack.post(replaced(replaced(body, "M2", again), "M3", renamed), stack.citizen)
    ).json()
    file = await stack.client.get(f"{BASE}/files/{case['id']}/materials/M3", headers=stack.citizen)

    origin = {m["code"]: m.get("earlier_code") for m in case["materials"]}
    assert origin == {"M1": None, "M2": "M2", "M3": "M1", "M4": None}
    assert file.content == PDF


async def test_earlier_case_of_somebody_else_gives_nothing(
    stack: StackFixture, token: TokenFactory
) -> None:
    foreign, of_another_person = (
        await stack.apply(token()),
        {**APPLICANT, "id_number": "540104200002290025"},
    )
    own = await stack.apply(applicant=of_another_person)
    body = await stack.application(stack.citizen)

    for case_id, code in ((foreign["id"], "M2"), (own["id"], "M2"), (str(new_id()), "M2")):
        material = {"kind": "earlier_case", "code": code, "earlier_case_id": case_id}
        found = await refused(stack, replaced(body, code, material), stack.citizen)
        assert found == [("materials.M2.earlier_case_id", "own_case")]


async def test_clerk_reuses_the_earlier_material_of_the_same_person_only(
    stack: StackFixture,
) -> None:
    clerk = stack.officer("window_clerk")
    earlier = await stack.apply(clerk, channel="window")
    other = {**APPLICANT, "id_number": "540104200002290025"}
    material = {"kind": "earlier_case", "code": "M2", "earlier_case_id": earlier["id"]}
    body = replaced(await stack.application(clerk, channel="window"), "M2", material)

    same = await stack.post(body, clerk)
    different = await refused(stack, {**body, "applicant": other}, clerk)

    assert (same.status_code, different) == (201, [("materials.M2.earlier_case_id", "own_case")])


async def test_promise_where_the_guide_does_not_allow_it_is_refused(stack: StackFixture) -> None:
    await stack.publish(with_gap(), revision=2)
    body = await stack.application(stack.citizen, matter_version=2)
    unknown = {"kind": "licence", "code": "M3"}

    assert await refused(stack, replaced(body, "M1", {**PROMISE, "code": "M1"}), stack.citizen) == [
        ("materials.M1", "promise_allowed")
    ]
    left_out = {**body, "materials": [m for m in body["materials"] if m["code"] != "M3"]}
    assert [
        field for field, _ in await refused(stack, replaced(body, "M3", unknown), stack.citizen)
    ] == ["materials[3]"]
    assert len(await published(stack.client.database)) == 0
    assert await refused(stack, left_out, stack.citizen) == [("materials.M3", "required")]


@pytest.mark.parametrize(
    ("promised", "days"), [(10, 8), (3, 1), (2, 0), (0, -2), (22, 20), (60, 20)]
)
def test_gap_leaves_the_organ_two_days_and_lasts_at_most_twenty(promised: int, days: int) -> None:
    assert gap_days(promised) == days


async def test_promise_needs_time(stack: StackFixture) -> None:
    await stack.publish(with_gap(promised_days=2, steps=[]), revision=2)

    assert await refused(stack, await promising(stack), stack.citizen) == [
        ("materials.M3", "promise_time")
    ]


async def test_no_result_until_the_promised_material_is_there(stack: StackFixture) -> None:
    await stack.publish(with_gap(), revision=2)
    case = (await stack.post(await promising(stack), stack.citizen)).json()
    clerk = stack.officer("window_clerk")
    case = await stack.do(case, "acceptance", clerk)
    gap_due_on = case["gap_due_on"]
    for _ in range(2):
        case = await stack.do(
            case, "reviews", stack.officer("approver"), {"opinion": "agree", "text": "符合"}
        )
    early = await stack.act(case, "decision", stack.officer("leader"), {"result": "0"})
    nothing = await stack.client.get(
        f"{BASE}/files/{case['id']}/materials/M3", headers=stack.citizen
    )
    upload = (await stack.upload(stack.citizen)).json()["id"]
    other = await stack.act(
        case, "supplements", stack.citizen, {"materials": [{"code": "M1", "upload_id": upload}]}
    )
    again = await stack.act(case, "supplements", stack.citizen, {"materials": [PROMISE]})
    stranger = await stack.act(
        case, "supplements", clerk, {"materials": [{"code": "M3", "upload_id": upload}]}
    )
    in_time = await stack.act(case, "return", clerk, {"reasons": "逾期未补交材料"})

    case = await stack.do(
        case, "supplements", stack.citizen, {"materials": [{"code": "M3", "upload_id": upload}]}
    )
    decided = await stack.do(case, "decision", stack.officer("leader"), {"result": "0"})

    today = clock.local_date(clock.now())
    assert gap_due_on == CALENDAR.add_working_days(today, 8).isoformat()
    assert (early.status_code, early.json()["promised"], nothing.status_code) == (409, ["M3"], 404)
    assert [a.status_code for a in (other, again, stranger, in_time)] == [409, 400, 404, 409]
    assert (case["gap_due_on"], decided["state"]) == (None, "decided")


async def test_missed_promise_lets_the_case_be_returned(stack: StackFixture) -> None:
    await stack.publish(with_gap(), revision=2)
    case = (await stack.post(await promising(stack), stack.citizen)).json()
    case = await stack.do(case, "acceptance", stack.officer("window_clerk"))
    connection = await stack.client.database.connect()
    yesterday = date.fromisoformat(clock.local_date(clock.now()).isoformat()) - timedelta(days=1)
    _ = await connection.execute("UPDATE case_file SET gap_due_on = $1", yesterday)
    await connection.close()

    returned = await stack.do(
        case, "return", stack.officer("window_clerk"), {"reasons": "逾期未补交容缺材料"}
    )

    assert (returned["state"], returned["result"]) == ("returned", "5")


async def test_clerk_supplies_for_who_applied_at_the_window(stack: StackFixture) -> None:
    clerk = stack.officer("window_clerk")
    case = await stack.apply(clerk, channel="window")
    case = await stack.do(
        case,
        "correction-requests",
        clerk,
        {"items": [{"material_code": "M4", "text": "缺少签字页"}]},
    )
    upload = (await stack.upload(clerk)).json()["id"]
    materials = {"materials": [{"code": "M4", "upload_id": upload}]}

    elsewhere = await stack.act(
        case, "corrections", stack.officer("window_clerk", department="OTHER"), materials
    )
    approver = await stack.act(case, "corrections", stack.officer("approver"), materials)
    corrected = await stack.do(case, "corrections", clerk, materials)

    assert (elsewhere.status_code, approver.status_code, corrected["state"]) == (
        404,
        404,
        "received",
    )
