"""用证: no use without the holder's authorisation, every use in the log that she reads."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import orjson
import pytest

from services.licenses.signing import digest_of
from shared import clock
from shared.events.cases import CaseLicenseUsed, CaseReceived
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import Headers, once
from tests.licenses.conftest import BASE, ID_NUMBER, TYPE, Office, a_decision
from tests.security.world import NEXT_DOOR

MATTER = "11540100MB0Q01904W4540131001000"
FACTS = {
    "number", "area_code", "department_code", "matter_id", "matter_code", "matter_name",
    "matter_type", "immediate", "channel",
    "applicant_kind", "account_id", "case_id", "revision", "occurred_at",
}  # fmt: skip


class Held:
    """A licence and its holder."""

    def __init__(self, office: Office, licence: dict[str, Any], holder: Headers) -> None:
        self.office, self.licence, self.holder = office, licence, holder
        self.path = f"{BASE}/licenses/{licence['id']}"

    async def authorise(self, **body: Any) -> dict[str, Any]:
        sent = {"matter_code": MATTER, **body}
        answer = await self.office.client.post(
            f"{self.path}/authorisations", json=sent, headers=once(self.holder)
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def use(self, code: str, headers: Headers | None = None, **body: Any) -> Any:
        sent = {
            "auth_code": code,
            "case_number": "CASE-1",
            "matter_code": MATTER,
            "reason": "办理开店审批",
            **body,
        }
        return await self.office.client.post(
            f"{self.path}/uses", json=sent, headers=once(headers or self.office.system)
        )


@pytest.fixture
async def held(office: Office) -> Held:
    _, holder = await office.verify()
    return Held(office, await office.issued(), holder)


async def test_system_gets_the_record_once_under_the_authorisation(held: Held) -> None:
    given = await held.authorise()

    first, second = await held.use(given["auth_code"]), await held.use(given["auth_code"])

    assert (first.status_code, second.status_code) == (201, 409)
    record = first.json()["record"]
    assert orjson.loads(record)["holder"]["number"] == ID_NUMBER
    assert digest_of(record.encode()) == first.json()["digest"] == held.licence["digest"]
    (use,) = (await held.office.get(f"licenses/{held.licence['id']}/uses", held.holder))["items"]
    assert (use["case_number"], use["matter_code"], use["reason"]) == (
        "CASE-1",
        MATTER,
        "办理开店审批",
    )
    assert (await held.office.names())[-1] == "license-used"


async def test_uses_at_once_under_one_authorisation_are_one(held: Held) -> None:
    given = await held.authorise()

    answers = await asyncio.gather(*(held.use(given["auth_code"]) for _ in range(8)))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}


async def test_use_without_a_fitting_authorisation_is_refused_and_counted(held: Held) -> None:
    office, given = held.office, await held.authorise()
    withdrawn, late = await held.authorise(), await held.authorise()
    _ = await office.client.delete(
        f"{held.path}/authorisations/{withdrawn['id']}", headers=held.holder
    )
    _ = await office.fetch(
        "UPDATE use_authorisation SET until = $1 WHERE id = $2",
        clock.now() - timedelta(seconds=1),
        late["id"],
    )
    other = Held(office, await office.issued(), held.holder)

    statuses = [
        (await held.use("A" * 16)).status_code,
        (await other.use(given["auth_code"])).status_code,
        (await held.use(given["auth_code"], matter_code="another")).status_code,
        (await held.use(withdrawn["auth_code"])).status_code,
        (await held.use(late["auth_code"])).status_code,
        (await held.use(given["auth_code"], reason="x" * 201)).status_code,
        (await held.use(given["auth_code"], reason="")).status_code,
    ]

    assert statuses == [404, 404, 409, 409, 409, 400, 400]
    figures = await office.get("statistics", office.administrator)
    assert (figures["uses"], figures["refused_uses"]) == (0, 5)


async def test_suspended_licence_is_no_evidence(held: Held) -> None:
    given = await held.authorise()
    _ = await held.office.do(held.licence, "suspension")

    used = await held.use(given["auth_code"])
    answer = await held.office.client.post(
        f"{held.path}/authorisations", json={"matter_code": MATTER}, headers=once(held.holder)
    )

    assert (used.status_code, answer.status_code) == (409, 409)


@pytest.mark.parametrize(
    ("first", "last", "status"),
    [(1, 2, 409), (0, 0, 201), (-1, None, 201), (1, None, 409), (-2, -1, 409)],
)
async def test_licence_is_evidence_from_its_first_day_to_its_last(
    held: Held, first: int, last: int | None, status: int
) -> None:
    given, today = await held.authorise(), clock.local_date(clock.now())
    days = [None if day is None else today + timedelta(days=day) for day in (first, last)]
    _ = await held.office.fetch("UPDATE license SET valid_from = $1, valid_until = $2", *days)

    assert (await held.use(given["auth_code"])).status_code == status


async def test_first_day_that_lies_ahead_is_told(office: Office) -> None:
    first = (clock.local_date(clock.now()) + timedelta(days=9)).isoformat()

    _ = await office.issued(valid_from=first)

    (fact,) = await office.facts()
    assert (fact.data["status"], fact.data["valid_from"]) == ("01", first)


async def test_only_a_system_with_the_scope_uses_and_only_the_holder_allows(held: Held) -> None:
    office, given = held.office, await held.authorise()
    issuing = office.token(kind="system", scope="licenses:issue", area=CITY, department=DEPARTMENT)
    statuses = [
        (await held.use(given["auth_code"], caller)).status_code
        for caller in (issuing, office.officer, held.holder)
    ]

    allowed = [
        (
            await office.client.post(
                f"{held.path}/authorisations", json={"matter_code": MATTER}, headers=once(caller)
            )
        ).status_code
        for caller in (office.officer, office.token(), office.system)
    ]

    assert (statuses, allowed) == ([403, 403, 403], [403, 404, 403])


async def test_term_of_an_authorisation_is_a_day_at_most(held: Held) -> None:
    answer = await held.office.client.post(
        f"{held.path}/authorisations",
        json={"matter_code": MATTER, "hours": 25},
        headers=once(held.holder),
    )

    assert answer.status_code == 400


async def test_holder_sees_what_she_allowed_and_takes_it_back_once(held: Held) -> None:
    used, open_ = await held.authorise(), await held.authorise(hours=1)
    _ = await held.use(used["auth_code"])
    listed = await held.office.get(f"licenses/{held.licence['id']}/authorisations", held.holder)

    statuses = [
        (
            await held.office.client.delete(
                f"{held.path}/authorisations/{one['id']}", headers=held.holder
            )
        ).status_code
        for one in (open_, open_, used, {"id": held.licence["id"]})
    ]

    assert [
        (one["id"], one["used_at"] is not None, one["auth_code"]) for one in listed["items"]
    ] == [
        (used["id"], True, None),
        (open_["id"], False, None),
    ]
    assert statuses == [204, 204, 409, 404]


def a_case_use(licence: dict[str, Any], **changes: Any) -> CaseLicenseUsed:
    case = a_decision().model_dump()
    values = {
        **{name: case[name] for name in FACTS},
        "license_id": licence["id"],
        "license_type_code": TYPE,
        "material_code": "M2",
        "digest": licence["digest"],
        "operator": "clerk-1",
        "reason": "免提交",
        **changes,
    }
    return CaseLicenseUsed(**values)


async def test_use_in_a_case_is_logged_once_whatever_comes_again(held: Held) -> None:
    office, use = held.office, a_case_use(held.licence)

    await office.take(use)
    await office.take(use)
    await office.take(use.model_copy(update={"material_code": "M3"}))

    items = (await office.get(f"licenses/{held.licence['id']}/uses", held.holder))["items"]
    assert [(one["material_code"], one["operator"]) for one in items] == [
        ("M2", "clerk-1"),
        ("M3", "clerk-1"),
    ]
    assert Counter(await office.names())["license-used"] == 2
    assert (await office.get("statistics", office.administrator))["uses"] == 2


async def test_log_is_read_page_by_page_by_holder_and_department_alone(held: Held) -> None:
    office = held.office
    await office.take(*(a_case_use(held.licence, material_code=f"M{n}") for n in range(5)))
    path = f"licenses/{held.licence['id']}/uses"

    first = await office.get(path, held.holder, limit=3)
    rest = await office.get(path, held.holder, limit=3, cursor=first["next"])
    others = [
        (await office.client.get(f"{BASE}/{path}", headers=caller)).status_code
        for caller in (office.officer, office.token(), office.staff("leader", department=NEXT_DOOR))
    ]

    assert [one["material_code"] for one in (*first["items"], *rest["items"])] == [
        f"M{n}" for n in range(5)
    ]
    assert others == [200, 404, 404]


async def test_reuse_at_intake_is_counted_with_numerator_and_denominator(office: Office) -> None:
    case = a_decision().model_dump()
    day = clock.local_date(clock.now())
    common = {**{name: case[name] for name in FACTS}, "received_on": day, "acceptance_due_on": day}

    await office.take(
        CaseReceived(**common, license_materials=4, licenses_used=3),
        CaseReceived(**common, license_materials=1, licenses_used=0),
        CaseReceived(**common),
    )

    figures = await office.get("statistics", office.administrator)
    assert figures["reuse_rate"] == {"numerator": 3, "denominator": 5, "share": 0.6}
