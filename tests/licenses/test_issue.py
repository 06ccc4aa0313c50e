"""Issuing: exactly one licence per case, whatever is redelivered, and issuing by API.

The signature is over the canonical record.
"""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest

from services.licenses.consumer import consumer
from services.licenses.model.identifiers import check_identifier
from services.licenses.signing import canonical, digest_of, verify
from services.licenses.use_cases.issue import issue_for_case
from shared import clock
from shared.messaging.inbox import Inbox
from shared.security.crypto import pseudonym, use_key
from tests.builders.events import a_record
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import once
from tests.licenses.conftest import (
    BASE,
    FIELDS,
    HOLDER,
    ID_NUMBER,
    NAME,
    TYPE,
    Office,
    a_decision,
    a_type,
    an_id_number,
)
from tests.security.world import NEXT_DOOR


async def test_decided_case_gets_one_licence_with_its_fact(office: Office) -> None:
    decision = a_decision()

    await office.take(decision)

    rows = await office.fetch("SELECT * FROM license")
    (fact,) = await office.facts()
    with use_key(b"k" * 32, platform=b"p" * 32):
        assert rows[0]["holder"] == pseudonym(ID_NUMBER)
    assert (len(rows), rows[0]["case_id"], rows[0]["status"], rows[0]["signed"]) == (
        1,
        decision.case_id,
        "01",
        True,
    )
    assert (fact.type, fact.data["origin"], fact.data["case_id"]) == (
        "tongban.licenses.license-issued.v1",
        "case",
        str(decision.case_id),
    )
    assert check_identifier(fact.data["identifier"]) == rows[0]["identifier"]
    assert fact.data["valid_until"] == str(rows[0]["valid_until"])
    assert NAME not in str(fact)


async def test_redelivered_and_repeated_decisions_make_no_second_licence(office: Office) -> None:
    decision = a_decision()
    same, again = (
        a_record(decision, 1),
        a_record(decision, 2),
    )  # redelivered; published twice under two event ids

    await asyncio.gather(*(office.inbox.take([same]) for _ in range(5)))
    await asyncio.gather(*(office.inbox.take([again]) for _ in range(5)))

    assert await office.names() == ["license-issued"]
    assert len(await office.fetch("SELECT FROM license_version")) == 1


async def test_transactions_that_issue_for_one_case_at_once_leave_one_licence(
    office: Office,
) -> None:
    decision = a_decision()

    async def issue() -> None:
        async with office.client.database.transaction() as session:
            await issue_for_case(session, decision, now=clock.now())

    await asyncio.gather(*(issue() for _ in range(20)))

    assert await office.names() == ["license-issued"]


@pytest.mark.parametrize("changes", [{"result": "1"}, {"license_type_code": None}])
async def test_decision_without_a_licence_makes_none(
    office: Office, changes: dict[str, Any]
) -> None:
    await office.take(a_decision(**changes))

    assert await office.names() == []


async def test_decision_of_an_unknown_type_waits_as_dead_letter_until_the_type_is_there(
    office: Office,
) -> None:
    other = f"{DEPARTMENT}002"
    await office.take(a_decision(license_type_code=other))
    (letter,) = await office.fetch("SELECT error FROM dead_letter")
    assert (await office.publish(code=other)).status_code == 200

    retried = await office.inbox.retry_one()

    assert f"no licence type {other}; publish it" in letter["error"]
    assert (retried, await office.names()) == (True, ["license-issued"])


async def test_decision_of_a_department_that_may_not_issue_waits_too(office: Office) -> None:
    await office.take(a_decision(department_code=NEXT_DOOR))

    (letter,) = await office.fetch("SELECT error FROM dead_letter")
    assert "is no issuing body" in letter["error"]


async def test_officer_issues_and_the_holder_reads_it_whole(office: Office) -> None:
    account, holder = await office.verify()

    licence = await office.issued()

    seen = await office.get(f"licenses/{licence['id']}", holder)
    assert (licence["holder_name"], licence["holder_id_number"]) == ("卓玛**", "540***********0011")
    assert "phone" not in licence["fields"]
    assert licence["check_code"] is None
    assert (seen["holder_name"], seen["holder_id_number"], seen["fields"]) == (
        NAME,
        ID_NUMBER,
        FIELDS,
    )
    assert len(seen["check_code"]) == 8
    (fact,) = [f for f in await office.facts() if f.type.endswith("license-issued.v1")]
    assert fact.data["account_id"] == str(account)


async def test_signature_holds_over_the_canonical_record_under_the_published_key(
    office: Office,
) -> None:
    _, holder = await office.verify()
    licence = await office.issued()
    seen = await office.get(f"licenses/{licence['id']}", holder)
    keys = {key["kid"]: key for key in (await office.get("keys"))["keys"]}
    record = {
        "identifier": seen["identifier"],
        "number": seen["number"],
        "version": 1,
        "type": {"code": TYPE, "version": 1, "name": a_type()["name"]},
        "issuer": {"name": "拉萨市市场监督管理局", "code": DEPARTMENT},
        "area_code": CITY,
        "holder": {"kind": "person", "name": NAME, "number": ID_NUMBER},
        "fields": seen["fields"],
        **{name: seen[name] for name in ("issued_on", "valid_from", "valid_until")},
    }

    (version,) = await office.get(f"licenses/{licence['id']}/versions", holder)

    assert digest_of(canonical(record)) == seen["digest"]
    assert verify(keys[version["kid"]], canonical(record), signature=version["signature"])
    assert not verify(
        keys[version["kid"]], canonical(record | {"number": "X"}), signature=version["signature"]
    )


def test_canonical_form_sorts_normalises_and_leaves_out_what_is_absent() -> None:
    value = {"b": "e\u0301", "a": {"y": None, "x": 1}, "c": None}

    assert canonical(value) == '{"a":{"x":1},"b":"é"}'.encode()
    assert canonical(orjson.loads(canonical(value))) == canonical(value)


async def test_rotated_key_signs_and_the_old_one_still_verifies(office: Office) -> None:
    before = await office.issued()
    answer = await office.client.post(f"{BASE}/signing-keys/rotation", headers=office.administrator)
    after = await office.issued()

    kids = [
        (await office.get(f"licenses/{one['id']}/versions"))[0]["kid"] for one in (before, after)
    ]

    assert (answer.status_code, kids[1]) == (200, answer.json()["kid"])
    assert {key["kid"] for key in (await office.get("keys"))["keys"]} == set(kids)
    assert len(set(kids)) == 2


async def test_issue_lists_every_fault_at_once(office: Office) -> None:
    answer = await office.issue(
        fields={"scope": "别的", "seats": "many", "opened": "2024-13-01", "secret": "x"}
    )

    faults = {(fault["field"], fault["rule"]) for fault in answer.json()["errors"]}
    assert answer.status_code == 400
    assert faults == {
        ("fields", "unknown"),
        ("fields.place", "required"),
        ("fields.scope", "choice"),
        ("fields.seats", "number"),
        ("fields.opened", "date"),
    }


async def test_number_of_a_licence_that_is_there_is_refused(office: Office) -> None:
    _ = await office.issued(number="JY154010200001")

    answer = await office.issue(number="JY154010200001")

    assert answer.status_code == 409


async def test_system_needs_the_scope_and_nobody_issues_for_another_department(
    office: Office,
) -> None:
    reader = office.token(kind="system", scope="licenses:read", area=CITY, department=DEPARTMENT)
    callers = [
        office.system,
        reader,
        office.staff("window_clerk"),
        office.token(),
        office.staff("leader", department=NEXT_DOOR),
    ]

    statuses = [(await office.issue(caller)).status_code for caller in callers]

    assert statuses == [201, 403, 403, 403, 409]


async def test_hundred_equal_issues_make_one_licence(office: Office) -> None:
    body = {"type_code": TYPE, "holder": HOLDER, "fields": FIELDS}
    headers = once(office.system)

    answers = await asyncio.gather(
        *(office.client.post(f"{BASE}/licenses", json=body, headers=headers) for _ in range(100))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await office.names() == ["license-issued"]


async def test_account_that_applied_holds_it_unless_it_is_known_to_be_somebody_else(
    office: Office,
) -> None:
    other, _ = await office.verify(an_id_number(7), "平措")
    applicant = a_decision().case_id

    await office.take(a_decision(account_id=applicant), a_decision(account_id=other))

    rows = await office.fetch("SELECT account_id FROM license ORDER BY id")
    assert [row["account_id"] for row in rows] == [applicant, None]


async def test_verified_person_finds_what_was_issued_before(office: Office) -> None:
    await office.take(a_decision())
    _, holder = await office.verify()

    mine = await office.get("licenses", holder)

    assert [one["type_code"] for one in mine["items"]] == [TYPE]
    assert (await office.get("licenses", office.token()))["items"] == []


async def test_agent_under_a_mandate_sees_no_licence_of_the_principal(office: Office) -> None:
    account, _ = await office.verify()
    licence = await office.issued()
    agent = office.token(sub=str(account), act={"sub": str(a_decision().case_id)}, mandate="m")

    answer = await office.client.get(f"{BASE}/licenses/{licence['id']}", headers=agent)

    assert answer.status_code == 404
    assert (await office.get("licenses", agent))["items"] == []


async def test_licence_of_a_validity_runs_from_its_first_day(office: Office) -> None:
    today = clock.local_date(clock.now())

    licence = await office.issued(valid_from=str(today - timedelta(days=0)))

    last = today.replace(year=today.year + 5) - timedelta(days=1)
    assert (licence["valid_from"], licence["valid_until"]) == (str(today), str(last))


async def test_second_consumer_of_the_same_event_does_nothing(office: Office) -> None:
    record = a_record(a_decision(), 1)
    inboxes = [Inbox(office.client.database, None, consumer=consumer) for _ in range(3)]  # pyright: ignore[reportArgumentType]

    await asyncio.gather(*(inbox.take([record]) for inbox in inboxes))

    assert await office.names() == ["license-issued"]
