"""An e-licence meets a material (免提交).

Who may use which one, what the use leaves behind, and what happens to the case when it lapses.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest

from bench.capture_sql import capture_sql
from services.cases.case_file.model.enums import LicenseStatus
from services.cases.case_file.model.materials import LicenseCopy
from services.cases.consumer import consumer
from services.cases.licenses import queries as license_queries
from services.cases.licenses.use_cases import follow_licenses
from shared import clock
from shared.events.licenses import (
    LicenseChanged,
    LicenseEvent,
    LicenseExpired,
    LicenseIssued,
    LicenseRevoked,
    LicenseSuspended,
)
from shared.ids import new_id
from shared.messaging.bus import FactNumber, Record
from shared.messaging.inbox import Inbox
from shared.security.crypto import pseudonym, use_key
from tests.builders.events import a_record
from tests.builders.matters import CITY, DEPARTMENT
from tests.cases.conftest import APPLICANT, BASE, StackFixture
from tests.cases.test_materials import refused, replaced
from tests.conftest import TokenFactory, published

OTHER_ID = "540104200002290025"
TODAY = clock.local_date(clock.now())
FIRM = "11540100MB0Q01904W"


def holder_of(number: str) -> str:
    """As the platform of these tests calls her."""
    with use_key(b"k" * 32, platform=b"p" * 32):
        return pseudonym(number)


def a_license(kind: type[LicenseEvent] = LicenseIssued, **changes: Any) -> LicenseEvent:
    """A fact about a business licence (YYZZ) of the applicant's."""
    values: dict[str, Any] = {
        "license_id": new_id(),
        "identifier": "1.2.156.3005.2.11540100MB0Q01904W001.11540100MB0Q01904W.2021000001.001.A",
        "number": "540100200123456",
        "type_code": "YYZZ",
        "type_name": {"zh": "营业执照"},
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "issuer_code": DEPARTMENT,
        "holder_kind": "person",
        "holder": holder_of(APPLICANT["id_number"]),
        "account_id": None,
        "status": "01",
        "trust": "A",
        "issued_on": date(2021, 3, 1),
        "valid_until": None,
        "digest": "d1",
        "origin": "api",
        "signed": True,
        "case_id": None,
        "revision": 1,
        "occurred_at": clock.now(),
        "change": "changed",
        "reason": "依法处理",
        **changes,
    }
    return kind.model_validate(values)


STATUS: dict[type[LicenseEvent], str] = {
    LicenseSuspended: "02",
    LicenseRevoked: "03",
    LicenseExpired: "05",
}


def later(
    fact: LicenseEvent, kind: type[LicenseEvent], revision: int = 2, **changes: Any
) -> LicenseEvent:
    """What becomes of it."""
    values = {
        **fact.model_dump(),
        "status": STATUS.get(kind, "01"),
        "revision": revision,
        **changes,
    }
    return a_license(kind, **values)


async def tell(stack: StackFixture, *facts: LicenseEvent) -> None:
    inbox = Inbox(stack.client.database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    await inbox.take([a_record(fact, number) for number, fact in enumerate(facts)])


async def licensed(stack: StackFixture, *facts: LicenseEvent) -> LicenseEvent:
    """A licence that cases knows."""
    fact = facts[0] if facts else a_license()
    await tell(stack, fact, *facts[1:])
    return fact


def meeting(fact: LicenseEvent, code: str = "M2", **more: Any) -> dict[str, Any]:
    return {"kind": "license", "code": code, "license_id": str(fact.license_id), **more}


async def using(
    stack: StackFixture, fact: LicenseEvent, headers: dict[str, str] | None = None, **changes: Any
) -> dict[str, Any]:
    """A body in which the licence meets M2."""
    body = await stack.application(headers or stack.citizen, **changes)
    return replaced(body, "M2", meeting(fact))


async def applied(stack: StackFixture, fact: LicenseEvent) -> dict[str, Any]:
    answer = await stack.post(await using(stack, fact), stack.citizen)
    assert answer.status_code == 201, answer.text
    return answer.json()


def material(case: dict[str, Any], code: str = "M2") -> dict[str, Any]:
    return next(one for one in case["materials"] if one["code"] == code)


async def facts_of(stack: StackFixture, name: str) -> list[dict[str, Any]]:
    return [
        event.data for event in await published(stack.client.database) if f".{name}." in event.type
    ]


async def uses(stack: StackFixture) -> list[tuple[UUID, str]]:
    """Which licences open cases rest on."""
    connection = await stack.client.database.connect()
    rows = await connection.fetch(
        "SELECT license_id, material_code FROM case_license ORDER BY 1, 2"
    )
    await connection.close()
    return [(row["license_id"], row["material_code"]) for row in rows]


async def reviewed(stack: StackFixture, case: dict[str, Any]) -> dict[str, Any]:
    case = await stack.do(case, "acceptance", stack.officer("window_clerk"))
    for _ in range(2):
        case = await stack.do(
            case, "reviews", stack.officer("approver"), {"opinion": "agree", "text": "符合条件"}
        )
    return case


async def read(stack: StackFixture, case: dict[str, Any]) -> dict[str, Any]:
    return await stack.get(f"files/{case['id']}", stack.citizen)


async def test_licence_meets_a_material_and_its_use_is_told(stack: StackFixture) -> None:
    fact = await licensed(stack)

    case = await applied(stack, fact)
    timeline = await stack.get(f"files/{case['id']}/timeline", stack.citizen)
    connection = await stack.client.database.connect()
    trail = await connection.fetch(
        "SELECT action, detail->>'license' AS license FROM audit ORDER BY id"
    )
    await connection.close()
    [use] = await facts_of(stack, "case-license-used")
    [received] = await facts_of(stack, "case-received")
    file = await stack.client.get(f"{BASE}/files/{case['id']}/materials/M2", headers=stack.citizen)

    kept = material(case)
    assert (kept["license_id"], kept["type_code"], kept["digest"]) == (
        str(fact.license_id),
        "YYZZ",
        "d1",
    )
    assert kept["number"] == "540********3456"
    assert (use["license_id"], use["material_code"], use["digest"]) == (
        str(fact.license_id),
        "M2",
        "d1",
    )
    assert (use["operator"], use["reason"]) == (received["account_id"], "我要开茶馆: 营业执照")
    assert (received["license_materials"], received["licenses_used"]) == (1, 1)
    assert [(step["act"], step["note"]) for step in timeline] == [
        ("receive", None),
        ("use_license", "M2: 营业执照"),
    ]
    assert [(row["action"], row["license"]) for row in trail] == [
        ("case.receive", None),
        ("case.use_license", str(fact.license_id)),
    ]
    assert file.status_code == 404
    assert await uses(stack) == [(fact.license_id, "M2")]


async def test_every_fault_of_licences_and_materials_is_named_at_once(stack: StackFixture) -> None:
    suspended = a_license(LicenseSuspended, status="02", type_code="SFZ")
    over = a_license(valid_until=TODAY - timedelta(days=1))
    await tell(stack, suspended, over)
    body = await stack.application(stack.citizen)
    given = [meeting(suspended, "M1"), meeting(over, "M2"), meeting(a_license(), "M3")]

    found = await refused(stack, {**body, "materials": given}, stack.citizen)

    assert found == [
        ("materials.M1.license_id", "license_type"),
        ("materials.M1.license_id", "license_valid"),
        ("materials.M2.license_id", "license_valid"),
        ("materials.M3.license_id", "own_license"),
        ("materials.M4", "required"),
    ]
    assert await published(stack.client.database) == []


async def test_licence_is_evidence_until_its_last_day_is_over(stack: StackFixture) -> None:
    fact = await licensed(stack, a_license(valid_until=TODAY))

    assert (await applied(stack, fact))["state"] == "received"


async def test_licence_of_another_is_as_one_that_is_not_there(stack: StackFixture) -> None:
    foreign = await licensed(stack, a_license(holder=holder_of(OTHER_ID)))
    case = await stack.apply()
    case = await stack.do(
        case, "correction-requests", stack.officer("window_clerk"), {"items": [{"text": "缺件"}]}
    )
    answers: list[list[tuple[int, str]]] = []
    for license_id in (str(foreign.license_id), str(new_id())):
        one = {"kind": "license", "code": "M2", "license_id": license_id, "consent": True}
        headers = {**stack.citizen, "x-request-id": "sweep-request", "Idempotency-Key": license_id}
        body = replaced(await stack.application(stack.citizen), "M2", one)
        applied = await stack.client.post(f"{BASE}/applications", json=body, headers=headers)
        corrected = await stack.act(case, "corrections", headers, {"materials": [one]})
        answers.append(
            [(a.status_code, a.text.replace(license_id, "{id}")) for a in (applied, corrected)]
        )

    assert answers[0] == answers[1]
    assert [status for status, _ in answers[0]] == [400, 400]
    assert all("own_license" in text for _, text in answers[0])


async def test_licence_of_an_earlier_case_is_used_as_a_licence_alone(stack: StackFixture) -> None:
    earlier = await applied(stack, await licensed(stack))
    again = {"kind": "earlier_case", "code": "M2", "earlier_case_id": earlier["id"]}

    found = await refused(
        stack, replaced(await stack.application(stack.citizen), "M2", again), stack.citizen
    )

    assert found == [("materials.M2.earlier_case_id", "own_case")]


async def test_organisation_uses_its_own_licence_with_the_number_unmasked(
    stack: StackFixture, token: TokenFactory
) -> None:
    fact = await licensed(stack, a_license(holder_kind="organisation", holder=holder_of(FIRM)))
    firm = token(kind="organisation", act={"sub": str(uuid4())})
    applicant = {
        "kind": "organisation",
        "name": "拉萨甜茶有限公司",
        "id_number": FIRM,
        "phone": "13989001234",
    }

    answer = await stack.post(await using(stack, fact, firm, applicant=applicant), firm)

    assert answer.status_code == 201, answer.text
    assert material(answer.json())["number"] == "540100200123456"


async def test_whoever_acts_for_the_applicant_records_her_consent(
    stack: StackFixture, token: TokenFactory
) -> None:
    fact = await licensed(stack)
    principal = str(uuid4())
    mandate = {"act": {"sub": str(uuid4())}, "mandate": str(uuid4())}
    agent = token(sub=principal, **mandate, matters=[str(stack.matter_id)])
    beyond = token(sub=principal, **mandate, matters=[str(uuid4())])
    clerk = stack.officer("window_clerk")
    for headers, changes in ((agent, {}), (clerk, {"channel": "window"})):
        body = await using(stack, fact, headers, **changes)

        silent = await refused(stack, body, headers)
        spoken = await stack.post(replaced(body, "M2", meeting(fact, consent=True)), headers)

        assert silent == [("materials.M2.license_id", "consent")]
        assert spoken.status_code == 201, spoken.text
        assert material(spoken.json())["consent"] is True
    assert (await stack.post(await using(stack, fact, beyond), beyond)).status_code == 403
    operators = [use["operator"] for use in await facts_of(stack, "case-license-used")]
    assert operators[0] == mandate["act"]["sub"]


async def test_licence_known_to_be_another_accounts_needs_consent_too(
    stack: StackFixture, token: TokenFactory
) -> None:
    owner = uuid4()
    fact = await licensed(stack, a_license(account_id=owner))
    own = token(sub=str(owner))

    assert await refused(stack, await using(stack, fact), stack.citizen) == [
        ("materials.M2.license_id", "consent")
    ]
    assert (await stack.post(await using(stack, fact, own), own)).status_code == 201


async def test_licence_costs_an_application_one_statement(stack: StackFixture) -> None:
    fact = await licensed(stack)
    _ = await stack.apply()
    body = await using(stack, fact)

    async with capture_sql(stack.client.database) as captured:
        answer = await stack.post(body, stack.citizen)

    assert answer.status_code == 201
    assert [statement.split(" ", 2)[0] for statement, _ in captured] == [
        "INSERT",
        "SELECT",
        "WITH",
        "WITH",
        "UPDATE",
    ]


@pytest.mark.parametrize(
    ("status", "days", "shown"),
    [
        ("01", (None, None), "01"),
        ("01", (-1, 1), "01"),
        ("01", (0, 0), "01"),
        ("01", (1, 2), "99"),
        ("01", (-2, -1), "05"),
        ("02", (1, 2), "02"),
        ("03", (-2, -1), "03"),
    ],
)
def test_status_is_that_of_the_day(
    status: str, days: tuple[int | None, int | None], shown: str
) -> None:
    first, last = [None if day is None else TODAY + timedelta(days=day) for day in days]

    copy = LicenseCopy(status=LicenseStatus(status), valid_from=first, valid_until=last)
    assert copy.status_on(TODAY) == shown


async def test_licence_that_is_not_in_force_yet_meets_nothing(
    stack: StackFixture, token: TokenFactory
) -> None:
    account = uuid4()
    own = token(sub=str(account))
    fact = await licensed(
        stack, a_license(account_id=account, valid_from=TODAY + timedelta(days=1))
    )

    answer = await stack.post(await using(stack, fact, own), own)
    [match] = (await matches(stack, own)).json()

    assert (answer.status_code, [fault["rule"] for fault in answer.json()["errors"]]) == (
        400,
        ["license_valid"],
    )
    assert match["licenses"] == []
    await tell(stack, later(fact, LicenseChanged, valid_from=TODAY))
    assert len((await matches(stack, own)).json()[0]["licenses"]) == 1


async def test_licence_that_is_linked_later_matches_its_holder_and_needs_others_consent(
    stack: StackFixture, token: TokenFactory
) -> None:
    account = uuid4()
    own = token(sub=str(account))
    fact = await licensed(stack)

    await tell(stack, later(fact, LicenseChanged, change="linked", account_id=account))
    [match] = (await matches(stack, own)).json()
    answer = await stack.post(await using(stack, fact), stack.citizen)

    assert [one["license_id"] for one in match["licenses"]] == [str(fact.license_id)]
    assert (answer.status_code, [fault["rule"] for fault in answer.json()["errors"]]) == (
        400,
        ["consent"],
    )


@pytest.mark.parametrize("kind", [LicenseSuspended, LicenseRevoked, LicenseExpired])
async def test_lapsed_licence_reaches_every_open_case_and_stops_the_decision(
    stack: StackFixture, kind: type[LicenseEvent]
) -> None:
    fact = await licensed(stack)
    case, other, withdrawn = [await applied(stack, fact) for _ in range(3)]
    _ = await stack.do(withdrawn, "withdrawal", stack.citizen)
    case = await reviewed(stack, case)

    await tell(stack, later(fact, kind))
    case, other = await read(stack, case), await read(stack, other)
    seen = await stack.get(f"files/{case['id']}", stack.officer("leader"))
    granted = await stack.act(case, "decision", stack.officer("leader"), {"result": "0"})
    timeline = await stack.get(f"files/{case['id']}/timeline", stack.citizen)

    status = STATUS[kind]
    assert [material(one)["lapsed"] for one in (case, other, seen)] == [status] * 3
    lapses = await facts_of(stack, "case-material-lapsed")
    assert sorted(fact["case_id"] for fact in lapses) == sorted([case["id"], other["id"]])
    assert {(fact["material_code"], fact["status"]) for fact in lapses} == {("M2", status)}
    assert (granted.status_code, granted.json()["lapsed"]) == (
        409,
        [{"code": "M2", "status": status}],
    )
    assert timeline[-1]["act"] == "license_lapsed"
    refusal = {"result": "1", "reasons": "所用证照已失效"}
    assert (await stack.do(case, "decision", stack.officer("leader"), refusal))[
        "state"
    ] == "decided"


async def test_licence_given_back_heals_the_case(stack: StackFixture) -> None:
    fact = await licensed(stack)
    case = await reviewed(stack, await applied(stack, fact))

    await tell(stack, later(fact, LicenseSuspended))
    await tell(stack, later(fact, LicenseChanged, 3, change="released", digest="d2"))
    case = await read(stack, case)
    decided = await stack.do(case, "decision", stack.officer("leader"), {"result": "0"})

    kept = material(case)
    assert ("lapsed" not in kept, kept["digest"], kept["current_digest"]) == (True, "d1", "d2")
    assert decided["state"] == "decided"
    acts = [step["act"] for step in await stack.get(f"files/{case['id']}/timeline", stack.citizen)]
    assert acts[-3:] == ["license_lapsed", "license_restored", "decide"]


async def test_licence_whose_last_day_is_over_stops_the_decision_before_its_event_comes(
    stack: StackFixture,
) -> None:
    fact = await licensed(stack, a_license(valid_until=TODAY))
    case = await reviewed(stack, await applied(stack, fact))
    connection = await stack.client.database.connect()
    _ = await connection.execute(
        "UPDATE case_file SET materials = replace(materials::text, $1, '2020-01-01')::jsonb",
        TODAY.isoformat(),
    )
    await connection.close()

    answer = await stack.act(case, "decision", stack.officer("leader"), {"result": "0"})
    asked = await stack.act(
        case,
        "correction-requests",
        stack.officer("approver"),
        {"items": [{"material_code": "M2", "text": "证照过期"}]},
    )

    assert (answer.status_code, answer.json()["lapsed"]) == (409, [{"code": "M2", "status": "05"}])
    assert (asked.status_code, asked.json()["state"]) == (200, "correcting")


async def test_lapsed_material_is_a_new_ground_for_a_correction_and_is_replaced(
    stack: StackFixture,
) -> None:
    fact, spare = await licensed(stack), await licensed(stack)
    case = await applied(stack, fact)
    clerk, approver = stack.officer("window_clerk"), stack.officer("approver")
    first = {"items": [{"material_code": "M4", "text": "缺少签字页"}]}
    case = await stack.do(case, "correction-requests", clerk, first)
    upload = (await stack.upload(stack.citizen)).json()["id"]
    case = await stack.do(
        case, "corrections", stack.citizen, {"materials": [{"code": "M4", "upload_id": upload}]}
    )
    case = await reviewed(stack, case)
    asking = {"items": [{"material_code": "M2", "text": "营业执照已撤销, 请更换"}]}
    early = await stack.act(case, "correction-requests", approver, asking)

    await tell(stack, later(fact, LicenseRevoked))
    case = await read(stack, case)
    mixed = await stack.act(
        case, "correction-requests", approver, {"items": [*asking["items"], *first["items"]]}
    )
    case = await stack.do(case, "correction-requests", approver, asking)
    other = await stack.act(
        case, "corrections", stack.citizen, {"materials": [{"code": "M1", "upload_id": upload}]}
    )
    again = await stack.act(case, "corrections", stack.citizen, {"materials": [meeting(fact)]})
    case = await stack.do(case, "corrections", stack.citizen, {"materials": [meeting(spare)]})
    decided = await stack.do(case, "decision", stack.officer("leader"), {"result": "0"})

    assert [answer.status_code for answer in (early, mixed, other, again)] == [409, 409, 409, 400]
    assert (case["state"], material(case)["license_id"]) == ("accepted", str(spare.license_id))
    assert decided["state"] == "decided"
    assert await uses(stack) == [(spare.license_id, "M2")]


async def test_applicant_replaces_a_lapsed_material_unasked(stack: StackFixture) -> None:
    fact = await licensed(stack)
    case = await stack.do(await applied(stack, fact), "acceptance", stack.officer("window_clerk"))
    await tell(stack, later(fact, LicenseRevoked))
    case = await read(stack, case)
    upload = (await stack.upload(stack.citizen)).json()["id"]

    case = await stack.do(
        case, "supplements", stack.citizen, {"materials": [{"code": "M2", "upload_id": upload}]}
    )

    assert material(case)["kind"] == "upload"
    assert await uses(stack) == []


async def test_clerk_asks_for_corrections_before_acceptance_others_do_not(
    stack: StackFixture,
) -> None:
    case = await stack.apply()

    answer = await stack.act(
        case, "correction-requests", stack.officer("approver"), {"items": [{"text": "缺件"}]}
    )

    assert answer.status_code == 403


def history(first: LicenseEvent, *, ends_revoked: bool) -> Sequence[LicenseEvent]:
    """Four later facts about a licence, of which the last counts."""
    return (
        later(first, LicenseSuspended, 2),
        later(first, LicenseChanged, 3, change="released", digest="d2"),
        later(first, LicenseExpired, 4),
        later(first, LicenseRevoked, 5)
        if ends_revoked
        else later(first, LicenseChanged, 5, digest="d3"),
    )


async def test_events_of_a_licence_in_any_order_lead_to_the_same_state(stack: StackFixture) -> None:
    stories = [
        (a_license(), order, ends_revoked)
        for order in permutations(range(4))
        for ends_revoked in (False, True)
    ]
    await tell(stack, *(first for first, *_ in stories))
    cases = {first.license_id: await applied(stack, first) for first, *_ in stories}

    for place in range(4):
        # One batch for all licences, each at another point of its story, a third of them twice.
        batch = [
            history(first, ends_revoked=revoked)[order[place]] for first, order, revoked in stories
        ]
        await tell(stack, *batch)
        await tell(stack, *batch[::3])
    connection = await stack.client.database.connect()
    copies = {
        row["license_id"]: row["status"]
        for row in await connection.fetch("SELECT * FROM license_copy")
    }
    await connection.close()

    assert copies == {first.license_id: "03" if revoked else "01" for first, _, revoked in stories}
    for first, _, revoked in stories:
        kept = material(await read(stack, cases[first.license_id]))
        expected = ("03", None) if revoked else (None, "d3")
        assert (kept.get("lapsed"), kept.get("current_digest")) == expected


async def test_licence_revoked_before_its_issue_is_told_is_never_used(stack: StackFixture) -> None:
    first = a_license()
    await tell(stack, later(first, LicenseRevoked, 2))
    await tell(stack, first)

    found = await refused(stack, await using(stack, first), stack.citizen)

    assert found == [("materials.M2.license_id", "license_valid")]


async def test_revocation_waits_for_the_application_that_uses_the_licence(
    stack: StackFixture,
) -> None:
    fact = await licensed(stack)

    async with stack.client.database.transaction() as session:
        _ = await license_queries.lock_licenses(
            session, [fact.license_id]
        )  # As an application does that has not come to its end.
        revoking = asyncio.create_task(tell(stack, later(fact, LicenseRevoked)))
        await asyncio.sleep(0.2)
        waited = not revoking.done()
    await revoking

    assert waited
    assert await refused(stack, await using(stack, fact), stack.citizen) == [
        ("materials.M2.license_id", "license_valid")
    ]


async def test_many_applications_against_one_revocation_leave_none_that_rests_on_it(
    stack: StackFixture,
) -> None:
    fact = await licensed(stack)
    bodies = [await using(stack, fact) for _ in range(20)]

    answers, _ = await asyncio.gather(
        asyncio.gather(*(stack.post(body, stack.citizen) for body in bodies)),
        tell(stack, later(fact, LicenseRevoked)),
    )

    assert {answer.status_code for answer in answers} <= {201, 400}
    for answer in answers:
        if answer.status_code == 201:
            assert material(await read(stack, answer.json()))["lapsed"] == "03"


async def test_collected_licences_come_in_by_set(stack: StackFixture) -> None:
    facts = [a_license(holder=f"h{number}", origin="collected") for number in range(500)]

    async with (
        capture_sql(stack.client.database) as captured,
        stack.client.database.transaction() as session,
    ):
        await follow_licenses(session, facts, now=clock.now())

    assert len(captured) == 1


async def matches(stack: StackFixture, headers: dict[str, str], **changes: Any) -> Any:
    body = await stack.application(headers)
    guided = {
        name: body[name] for name in ("matter_id", "matter_version", "answers", "guide_digest")
    }
    return await stack.client.post(
        f"{BASE}/license-matches", json={**guided, **changes}, headers=headers
    )


async def test_holder_sees_which_of_her_licences_could_meet_the_guide(
    stack: StackFixture, token: TokenFactory
) -> None:
    owner = uuid4()
    own = token(sub=str(owner))
    mine = a_license(account_id=owner)
    for_firm = a_license(account_id=owner, holder=holder_of(OTHER_ID))
    useless = [
        a_license(account_id=owner, status="02"),
        a_license(account_id=owner, type_code="SFZ"),
        a_license(account_id=owner, valid_until=TODAY - timedelta(days=1)),
        a_license(account_id=uuid4()),
        a_license(),
    ]
    await tell(stack, mine, for_firm, *useless)

    [found] = (await matches(stack, own)).json()
    [hers] = (await matches(stack, own, id_number=APPLICANT["id_number"])).json()
    [nothing] = (await matches(stack, stack.citizen)).json()

    assert (found["material_code"], found["license_type_code"]) == ("M2", "YYZZ")
    assert {one["license_id"] for one in found["licenses"]} == {
        str(mine.license_id),
        str(for_firm.license_id),
    }
    assert [one["license_id"] for one in hers["licenses"]] == [str(mine.license_id)]
    assert nothing["licenses"] == []


async def test_nobody_asks_for_the_licences_of_another(
    stack: StackFixture, token: TokenFactory
) -> None:
    agent = token(act={"sub": str(uuid4())}, mandate=str(uuid4()))
    callers = [agent, stack.officer("window_clerk"), token(acr="1"), {}]
    body = await stack.application(stack.citizen)
    guided = {
        name: body[name] for name in ("matter_id", "matter_version", "answers", "guide_digest")
    }

    answers = [
        await stack.client.post(f"{BASE}/license-matches", json=guided, headers=one)
        for one in callers
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 401, 401]


def numbered(fact: LicenseEvent, *, offset: int, event_number: int) -> Record:
    """The fact as its producer numbered it."""
    number = FactNumber(0, offset + 1)
    return replace(a_record(fact, offset), number=number, event_number=event_number)


async def test_second_fact_of_one_act_reaches_the_copy_of_a_licence(stack: StackFixture) -> None:
    first = a_license()
    case = await told_and_applied(stack, first)
    # Both belong to one act and have its revision.
    changed = later(first, LicenseChanged, 2, digest="d2")
    revoked = later(first, LicenseRevoked, 2)
    inbox = Inbox(stack.client.database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]

    await inbox.take([numbered(changed, offset=1, event_number=2)])
    await inbox.take([numbered(revoked, offset=2, event_number=3)])

    assert material(await read(stack, case))["lapsed"] == "03"


async def told_and_applied(stack: StackFixture, fact: LicenseEvent) -> dict[str, Any]:
    """An application with a licence of which a numbered fact told."""
    inbox = Inbox(stack.client.database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    await inbox.take([numbered(fact, offset=0, event_number=1)])
    return await applied(stack, fact)


async def test_copy_that_an_older_release_wrote_is_guarded_by_its_revision(
    stack: StackFixture,
) -> None:
    first = a_license(revision=4)
    case = await told_and_applied(stack, first)
    connection = await stack.client.database.connect()
    _ = await connection.execute("UPDATE license_copy SET event_number = NULL")
    await connection.close()
    inbox = Inbox(stack.client.database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]

    # Facts of 0.1.0 have no number; those that follow count on from the newest revision.
    early = later(first, LicenseRevoked, 3)
    await inbox.take([replace(numbered(early, offset=1, event_number=1), event_number=0)])
    assert "lapsed" not in material(await read(stack, case))
    newer = later(first, LicenseSuspended, 4)
    await inbox.take([numbered(newer, offset=2, event_number=5)])

    assert material(await read(stack, case))["lapsed"] == "02"
