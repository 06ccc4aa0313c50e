"""An e-licence meets a material (免提交): who may use which, what it leaves behind, what becomes of the case when it lapses."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest

from bench.overhear import overhearing
from services.cases.case_file.model.enums import LicenseStatus
from services.cases.case_file.model.license_copies import LicenseCopy
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
from shared.messaging.inbox import Inbox
from shared.security.crypto import pseudonym, use_key
from tests.builders.events import a_record
from tests.builders.matters import CITY, DEPARTMENT
from tests.cases.conftest import APPLICANT, BASE, Hall
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


async def tell(hall: Hall, *facts: LicenseEvent) -> None:
    inbox = Inbox(hall.client.database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    await inbox.take([a_record(fact, number) for number, fact in enumerate(facts)])


async def licensed(hall: Hall, *facts: LicenseEvent) -> LicenseEvent:
    """A licence that cases knows."""
    fact = facts[0] if facts else a_license()
    await tell(hall, fact, *facts[1:])
    return fact


def meeting(fact: LicenseEvent, code: str = "M2", **more: Any) -> dict[str, Any]:
    return {"kind": "license", "code": code, "license_id": str(fact.license_id), **more}


async def using(
    hall: Hall, fact: LicenseEvent, headers: dict[str, str] | None = None, **changes: Any
) -> dict[str, Any]:
    """A body in which the licence meets M2."""
    body = await hall.application(headers or hall.citizen, **changes)
    return replaced(body, "M2", meeting(fact))


async def applied(hall: Hall, fact: LicenseEvent) -> dict[str, Any]:
    answer = await hall.post(await using(hall, fact), hall.citizen)
    assert answer.status_code == 201, answer.text
    return answer.json()


def material(case: dict[str, Any], code: str = "M2") -> dict[str, Any]:
    return next(one for one in case["materials"] if one["code"] == code)


async def facts_of(hall: Hall, name: str) -> list[dict[str, Any]]:
    return [
        event.data for event in await published(hall.client.database) if f".{name}." in event.type
    ]


async def uses(hall: Hall) -> list[tuple[UUID, str]]:
    """Which licences open cases rest on."""
    connection = await hall.client.database.connect()
    rows = await connection.fetch(
        "SELECT license_id, material_code FROM case_license ORDER BY 1, 2"
    )
    await connection.close()
    return [(row["license_id"], row["material_code"]) for row in rows]


async def reviewed(hall: Hall, case: dict[str, Any]) -> dict[str, Any]:
    case = await hall.do(case, "acceptance", hall.officer("window_clerk"))
    for _ in range(2):
        case = await hall.do(
            case, "reviews", hall.officer("approver"), {"opinion": "agree", "text": "符合条件"}
        )
    return case


async def read(hall: Hall, case: dict[str, Any]) -> dict[str, Any]:
    return await hall.get(f"files/{case['id']}", hall.citizen)


async def test_licence_meets_a_material_and_its_use_is_told(hall: Hall) -> None:
    fact = await licensed(hall)

    case = await applied(hall, fact)
    timeline = await hall.get(f"files/{case['id']}/timeline", hall.citizen)
    connection = await hall.client.database.connect()
    trail = await connection.fetch(
        "SELECT action, detail->>'license' AS license FROM audit ORDER BY id"
    )
    await connection.close()
    [use] = await facts_of(hall, "case-license-used")
    [received] = await facts_of(hall, "case-received")
    file = await hall.client.get(f"{BASE}/files/{case['id']}/materials/M2", headers=hall.citizen)

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
    assert await uses(hall) == [(fact.license_id, "M2")]


async def test_every_fault_of_licences_and_materials_is_named_at_once(hall: Hall) -> None:
    suspended = a_license(LicenseSuspended, status="02", type_code="SFZ")
    over = a_license(valid_until=TODAY - timedelta(days=1))
    await tell(hall, suspended, over)
    body = await hall.application(hall.citizen)
    given = [meeting(suspended, "M1"), meeting(over, "M2"), meeting(a_license(), "M3")]

    found = await refused(hall, {**body, "materials": given}, hall.citizen)

    assert found == [
        ("materials.M1.license_id", "license_type"),
        ("materials.M1.license_id", "license_valid"),
        ("materials.M2.license_id", "license_valid"),
        ("materials.M3.license_id", "own_license"),
        ("materials.M4", "required"),
    ]
    assert await published(hall.client.database) == []


async def test_licence_is_evidence_until_its_last_day_is_over(hall: Hall) -> None:
    fact = await licensed(hall, a_license(valid_until=TODAY))

    assert (await applied(hall, fact))["state"] == "received"


async def test_licence_of_another_is_as_one_that_is_not_there(hall: Hall) -> None:
    foreign = await licensed(hall, a_license(holder=holder_of(OTHER_ID)))
    case = await hall.apply()
    case = await hall.do(
        case, "correction-requests", hall.officer("window_clerk"), {"items": [{"text": "缺件"}]}
    )
    answers: list[list[tuple[int, str]]] = []
    for license_id in (str(foreign.license_id), str(new_id())):
        one = {"kind": "license", "code": "M2", "license_id": license_id, "consent": True}
        headers = {**hall.citizen, "x-request-id": "sweep-request", "Idempotency-Key": license_id}
        body = replaced(await hall.application(hall.citizen), "M2", one)
        applied = await hall.client.post(f"{BASE}/applications", json=body, headers=headers)
        corrected = await hall.act(case, "corrections", headers, {"materials": [one]})
        answers.append(
            [(a.status_code, a.text.replace(license_id, "{id}")) for a in (applied, corrected)]
        )

    assert answers[0] == answers[1]
    assert [status for status, _ in answers[0]] == [400, 400]
    assert all("own_license" in text for _, text in answers[0])


async def test_licence_of_an_earlier_case_is_used_as_a_licence_alone(hall: Hall) -> None:
    earlier = await applied(hall, await licensed(hall))
    again = {"kind": "earlier_case", "code": "M2", "earlier_case_id": earlier["id"]}

    found = await refused(
        hall, replaced(await hall.application(hall.citizen), "M2", again), hall.citizen
    )

    assert found == [("materials.M2.earlier_case_id", "own_case")]


async def test_organisation_uses_its_own_licence_with_the_number_unmasked(
    hall: Hall, token: TokenFactory
) -> None:
    fact = await licensed(hall, a_license(holder_kind="organisation", holder=holder_of(FIRM)))
    firm = token(kind="organisation", act={"sub": str(uuid4())})
    applicant = {
        "kind": "organisation",
        "name": "拉萨甜茶有限公司",
        "id_number": FIRM,
        "phone": "13989001234",
    }

    answer = await hall.post(await using(hall, fact, firm, applicant=applicant), firm)

    assert answer.status_code == 201, answer.text
    assert material(answer.json())["number"] == "540100200123456"


async def test_whoever_acts_for_the_applicant_records_her_consent(
    hall: Hall, token: TokenFactory
) -> None:
    fact = await licensed(hall)
    principal = str(uuid4())
    mandate = {"act": {"sub": str(uuid4())}, "mandate": str(uuid4())}
    agent = token(sub=principal, **mandate, matters=[str(hall.matter_id)])
    beyond = token(sub=principal, **mandate, matters=[str(uuid4())])
    clerk = hall.officer("window_clerk")
    for headers, changes in ((agent, {}), (clerk, {"channel": "window"})):
        body = await using(hall, fact, headers, **changes)

        silent = await refused(hall, body, headers)
        spoken = await hall.post(replaced(body, "M2", meeting(fact, consent=True)), headers)

        assert silent == [("materials.M2.license_id", "consent")]
        assert spoken.status_code == 201, spoken.text
        assert material(spoken.json())["consent"] is True
    assert (await hall.post(await using(hall, fact, beyond), beyond)).status_code == 403
    operators = [use["operator"] for use in await facts_of(hall, "case-license-used")]
    assert operators[0] == mandate["act"]["sub"]


async def test_licence_known_to_be_another_accounts_needs_consent_too(
    hall: Hall, token: TokenFactory
) -> None:
    owner = uuid4()
    fact = await licensed(hall, a_license(account_id=owner))
    own = token(sub=str(owner))

    assert await refused(hall, await using(hall, fact), hall.citizen) == [
        ("materials.M2.license_id", "consent")
    ]
    assert (await hall.post(await using(hall, fact, own), own)).status_code == 201


async def test_licence_costs_an_application_one_statement(hall: Hall) -> None:
    fact = await licensed(hall)
    _ = await hall.apply()
    body = await using(hall, fact)

    async with overhearing(hall.client.database) as heard:
        answer = await hall.post(body, hall.citizen)

    assert answer.status_code == 201
    assert [statement.split(" ", 2)[0] for statement, _ in heard] == [
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
    hall: Hall, token: TokenFactory
) -> None:
    account = uuid4()
    own = token(sub=str(account))
    fact = await licensed(hall, a_license(account_id=account, valid_from=TODAY + timedelta(days=1)))

    answer = await hall.post(await using(hall, fact, own), own)
    [match] = (await matches(hall, own)).json()

    assert (answer.status_code, [fault["rule"] for fault in answer.json()["errors"]]) == (
        400,
        ["license_valid"],
    )
    assert match["licenses"] == []
    await tell(hall, later(fact, LicenseChanged, valid_from=TODAY))
    assert len((await matches(hall, own)).json()[0]["licenses"]) == 1


async def test_licence_that_is_linked_later_matches_its_holder_and_needs_others_consent(
    hall: Hall, token: TokenFactory
) -> None:
    account = uuid4()
    own = token(sub=str(account))
    fact = await licensed(hall)

    await tell(hall, later(fact, LicenseChanged, change="linked", account_id=account))
    [match] = (await matches(hall, own)).json()
    answer = await hall.post(await using(hall, fact), hall.citizen)

    assert [one["license_id"] for one in match["licenses"]] == [str(fact.license_id)]
    assert (answer.status_code, [fault["rule"] for fault in answer.json()["errors"]]) == (
        400,
        ["consent"],
    )


@pytest.mark.parametrize("kind", [LicenseSuspended, LicenseRevoked, LicenseExpired])
async def test_lapsed_licence_reaches_every_open_case_and_stops_the_decision(
    hall: Hall, kind: type[LicenseEvent]
) -> None:
    fact = await licensed(hall)
    case, other, withdrawn = [await applied(hall, fact) for _ in range(3)]
    _ = await hall.do(withdrawn, "withdrawal", hall.citizen)
    case = await reviewed(hall, case)

    await tell(hall, later(fact, kind))
    case, other = await read(hall, case), await read(hall, other)
    seen = await hall.get(f"files/{case['id']}", hall.officer("leader"))
    granted = await hall.act(case, "decision", hall.officer("leader"), {"result": "0"})
    timeline = await hall.get(f"files/{case['id']}/timeline", hall.citizen)

    status = STATUS[kind]
    assert [material(one)["lapsed"] for one in (case, other, seen)] == [status] * 3
    lapses = await facts_of(hall, "case-material-lapsed")
    assert sorted(fact["case_id"] for fact in lapses) == sorted([case["id"], other["id"]])
    assert {(fact["material_code"], fact["status"]) for fact in lapses} == {("M2", status)}
    assert (granted.status_code, granted.json()["lapsed"]) == (
        409,
        [{"code": "M2", "status": status}],
    )
    assert timeline[-1]["act"] == "license_lapsed"
    refusal = {"result": "1", "reasons": "所用证照已失效"}
    assert (await hall.do(case, "decision", hall.officer("leader"), refusal))["state"] == "decided"


async def test_licence_given_back_heals_the_case(hall: Hall) -> None:
    fact = await licensed(hall)
    case = await reviewed(hall, await applied(hall, fact))

    await tell(hall, later(fact, LicenseSuspended))
    await tell(hall, later(fact, LicenseChanged, 3, change="released", digest="d2"))
    case = await read(hall, case)
    decided = await hall.do(case, "decision", hall.officer("leader"), {"result": "0"})

    kept = material(case)
    assert ("lapsed" not in kept, kept["digest"], kept["current_digest"]) == (True, "d1", "d2")
    assert decided["state"] == "decided"
    acts = [step["act"] for step in await hall.get(f"files/{case['id']}/timeline", hall.citizen)]
    assert acts[-3:] == ["license_lapsed", "license_restored", "decide"]


async def test_licence_whose_last_day_is_over_stops_the_decision_before_its_event_comes(
    hall: Hall,
) -> None:
    fact = await licensed(hall, a_license(valid_until=TODAY))
    case = await reviewed(hall, await applied(hall, fact))
    connection = await hall.client.database.connect()
    _ = await connection.execute(
        "UPDATE case_file SET materials = replace(materials::text, $1, '2020-01-01')::jsonb",
        TODAY.isoformat(),
    )
    await connection.close()

    answer = await hall.act(case, "decision", hall.officer("leader"), {"result": "0"})
    asked = await hall.act(
        case,
        "correction-requests",
        hall.officer("approver"),
        {"items": [{"material_code": "M2", "text": "证照过期"}]},
    )

    assert (answer.status_code, answer.json()["lapsed"]) == (409, [{"code": "M2", "status": "05"}])
    assert (asked.status_code, asked.json()["state"]) == (200, "correcting")


async def test_lapsed_material_is_a_new_ground_for_a_correction_and_is_replaced(hall: Hall) -> None:
    fact, spare = await licensed(hall), await licensed(hall)
    case = await applied(hall, fact)
    clerk, approver = hall.officer("window_clerk"), hall.officer("approver")
    first = {"items": [{"material_code": "M4", "text": "缺少签字页"}]}
    case = await hall.do(case, "correction-requests", clerk, first)
    upload = (await hall.upload(hall.citizen)).json()["id"]
    case = await hall.do(
        case, "corrections", hall.citizen, {"materials": [{"code": "M4", "upload_id": upload}]}
    )
    case = await reviewed(hall, case)
    asking = {"items": [{"material_code": "M2", "text": "营业执照已撤销, 请更换"}]}
    early = await hall.act(case, "correction-requests", approver, asking)

    await tell(hall, later(fact, LicenseRevoked))
    case = await read(hall, case)
    mixed = await hall.act(
        case, "correction-requests", approver, {"items": [*asking["items"], *first["items"]]}
    )
    case = await hall.do(case, "correction-requests", approver, asking)
    other = await hall.act(
        case, "corrections", hall.citizen, {"materials": [{"code": "M1", "upload_id": upload}]}
    )
    again = await hall.act(case, "corrections", hall.citizen, {"materials": [meeting(fact)]})
    case = await hall.do(case, "corrections", hall.citizen, {"materials": [meeting(spare)]})
    decided = await hall.do(case, "decision", hall.officer("leader"), {"result": "0"})

    assert [answer.status_code for answer in (early, mixed, other, again)] == [409, 409, 409, 400]
    assert (case["state"], material(case)["license_id"]) == ("accepted", str(spare.license_id))
    assert decided["state"] == "decided"
    assert await uses(hall) == [(spare.license_id, "M2")]


async def test_applicant_replaces_a_lapsed_material_unasked(hall: Hall) -> None:
    fact = await licensed(hall)
    case = await hall.do(await applied(hall, fact), "acceptance", hall.officer("window_clerk"))
    await tell(hall, later(fact, LicenseRevoked))
    case = await read(hall, case)
    upload = (await hall.upload(hall.citizen)).json()["id"]

    case = await hall.do(
        case, "supplements", hall.citizen, {"materials": [{"code": "M2", "upload_id": upload}]}
    )

    assert material(case)["kind"] == "upload"
    assert await uses(hall) == []


async def test_clerk_asks_for_corrections_before_acceptance_others_do_not(hall: Hall) -> None:
    case = await hall.apply()

    answer = await hall.act(
        case, "correction-requests", hall.officer("approver"), {"items": [{"text": "缺件"}]}
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


async def test_events_of_a_licence_in_any_order_lead_to_the_same_state(hall: Hall) -> None:
    stories = [
        (a_license(), order, ends_revoked)
        for order in permutations(range(4))
        for ends_revoked in (False, True)
    ]
    await tell(hall, *(first for first, *_ in stories))
    cases = {first.license_id: await applied(hall, first) for first, *_ in stories}

    for place in range(4):
        # One batch for all licences, each at another point of its story, a third of them twice.
        batch = [
            history(first, ends_revoked=revoked)[order[place]] for first, order, revoked in stories
        ]
        await tell(hall, *batch)
        await tell(hall, *batch[::3])
    connection = await hall.client.database.connect()
    copies = {
        row["license_id"]: row["status"]
        for row in await connection.fetch("SELECT * FROM license_copy")
    }
    await connection.close()

    assert copies == {first.license_id: "03" if revoked else "01" for first, _, revoked in stories}
    for first, _, revoked in stories:
        kept = material(await read(hall, cases[first.license_id]))
        expected = ("03", None) if revoked else (None, "d3")
        assert (kept.get("lapsed"), kept.get("current_digest")) == expected


async def test_licence_revoked_before_its_issue_is_told_is_never_used(hall: Hall) -> None:
    first = a_license()
    await tell(hall, later(first, LicenseRevoked, 2))
    await tell(hall, first)

    found = await refused(hall, await using(hall, first), hall.citizen)

    assert found == [("materials.M2.license_id", "license_valid")]


async def test_revocation_waits_for_the_application_that_uses_the_licence(hall: Hall) -> None:
    fact = await licensed(hall)

    async with hall.client.database.transaction() as session:
        _ = await license_queries.lock_licenses(
            session, [fact.license_id]
        )  # As an application does that has not come to its end.
        revoking = asyncio.create_task(tell(hall, later(fact, LicenseRevoked)))
        await asyncio.sleep(0.2)
        waited = not revoking.done()
    await revoking

    assert waited
    assert await refused(hall, await using(hall, fact), hall.citizen) == [
        ("materials.M2.license_id", "license_valid")
    ]


async def test_many_applications_against_one_revocation_leave_none_that_rests_on_it(
    hall: Hall,
) -> None:
    fact = await licensed(hall)
    bodies = [await using(hall, fact) for _ in range(20)]

    answers, _ = await asyncio.gather(
        asyncio.gather(*(hall.post(body, hall.citizen) for body in bodies)),
        tell(hall, later(fact, LicenseRevoked)),
    )

    assert {answer.status_code for answer in answers} <= {201, 400}
    for answer in answers:
        if answer.status_code == 201:
            assert material(await read(hall, answer.json()))["lapsed"] == "03"


async def test_collected_licences_come_in_by_set(hall: Hall) -> None:
    facts = [a_license(holder=f"h{number}", origin="collected") for number in range(500)]

    async with (
        overhearing(hall.client.database) as heard,
        hall.client.database.transaction() as session,
    ):
        await follow_licenses(session, facts, now=clock.now())

    assert len(heard) == 1


async def matches(hall: Hall, headers: dict[str, str], **changes: Any) -> Any:
    body = await hall.application(headers)
    guided = {
        name: body[name] for name in ("matter_id", "matter_version", "answers", "guide_digest")
    }
    return await hall.client.post(
        f"{BASE}/license-matches", json={**guided, **changes}, headers=headers
    )


async def test_holder_sees_which_of_her_licences_could_meet_the_guide(
    hall: Hall, token: TokenFactory
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
    await tell(hall, mine, for_firm, *useless)

    [found] = (await matches(hall, own)).json()
    [hers] = (await matches(hall, own, id_number=APPLICANT["id_number"])).json()
    [nothing] = (await matches(hall, hall.citizen)).json()

    assert (found["material_code"], found["license_type_code"]) == ("M2", "YYZZ")
    assert {one["license_id"] for one in found["licenses"]} == {
        str(mine.license_id),
        str(for_firm.license_id),
    }
    assert [one["license_id"] for one in hers["licenses"]] == [str(mine.license_id)]
    assert nothing["licenses"] == []


async def test_nobody_asks_for_the_licences_of_another(hall: Hall, token: TokenFactory) -> None:
    agent = token(act={"sub": str(uuid4())}, mandate=str(uuid4()))
    callers = [agent, hall.officer("window_clerk"), token(acr="1"), {}]
    body = await hall.application(hall.citizen)
    guided = {
        name: body[name] for name in ("matter_id", "matter_version", "answers", "guide_digest")
    }

    answers = [
        await hall.client.post(f"{BASE}/license-matches", json=guided, headers=one)
        for one in callers
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 401, 401]
