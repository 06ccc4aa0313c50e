"""The journal: every act leaves its step, audit row and events, with agent and time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.licenses import timers
from services.licenses.model.license import License, LicenseRow, LicenseVersion
from services.licenses.model.states import Operation
from services.licenses.use_cases import (
    collect,
    expiry,
    issue,
    jobs,
    keys,
    links,
    operations,
    prints,
    types,
    uses,
)
from shared import clock
from shared.events.base import Envelope
from tests.conftest import once
from tests.licenses.conftest import (
    BASE,
    WHY,
    Office,
    a_decision,
    a_type,
    collected,
)

Doing = Callable[[Office], Awaitable[Any]]
PLACE = {"fields": {"place": "拉萨市城关区八廓街2号"}}


@dataclass(frozen=True)
class Trace:
    """What an act leaves: the act of its step, the action of its audit row, its event."""

    do: Doing
    step: Operation | None
    action: str | None
    event: str | None
    by_system: bool = False
    """Done by a timer or on an event, not by a caller."""


async def suspend(office: Office) -> None:
    _ = await office.do(await office.issued(), "suspension")


async def release(office: Office) -> None:
    _ = await office.do(await office.do(await office.issued(), "suspension"), "release")


def end(kind: str) -> Doing:
    async def do(office: Office) -> None:
        _ = await office.do(await office.issued(), "revocation", {**WHY, "kind": kind})

    return do


async def transfer(office: Office) -> None:
    _ = await office.do(await office.issued(), "transfer")


async def change(office: Office) -> None:
    _ = await office.do(await office.issued(), "change", {**WHY, **PLACE})


async def renew(office: Office) -> None:
    _ = await office.do(await office.issued(), "renewal")


async def expire(office: Office) -> None:
    _ = await office.issued()
    assert await timers.expire(office.client.database, clock.now() + timedelta(days=3000)) == 1


async def collect_one(office: Office) -> None:
    _ = await office.collect([collected(1)])


OPERATIONS = {
    Operation.ISSUE: Trace(lambda o: o.issued(), None, "license.issue", "license-issued"),
    Operation.COLLECT: Trace(
        collect_one, None, "licenses.collect", "records-judged", by_system=True
    ),
    Operation.SUSPEND: Trace(suspend, Operation.SUSPEND, "license.suspend", "license-suspended"),
    Operation.RELEASE: Trace(release, Operation.RELEASE, "license.release", "license-changed"),
    Operation.REVOKE: Trace(end("revoke"), Operation.REVOKE, "license.revoke", "license-revoked"),
    Operation.CANCEL: Trace(end("cancel"), Operation.CANCEL, "license.cancel", "license-revoked"),
    Operation.WITHDRAW: Trace(
        end("withdraw"), Operation.WITHDRAW, "license.withdraw", "license-revoked"
    ),
    Operation.TRANSFER: Trace(transfer, Operation.TRANSFER, "license.transfer", "license-changed"),
    Operation.CHANGE: Trace(change, Operation.CHANGE, "license.change", "license-changed"),
    Operation.RENEW: Trace(renew, Operation.RENEW, "license.renew", "license-changed"),
    Operation.EXPIRE: Trace(
        expire, Operation.EXPIRE, "license.expire", "license-expired", by_system=True
    ),
}


async def authorised(office: Office) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    _, holder = await office.verify()
    licence = await office.issued()
    answer = await office.client.post(
        f"{BASE}/licenses/{licence['id']}/authorisations",
        json={"matter_code": "M1"},
        headers=once(holder),
    )
    assert answer.status_code == 201, answer.text
    return licence, answer.json(), holder


async def authorise(office: Office) -> None:
    _ = await authorised(office)


async def withdraw_authorisation(office: Office) -> None:
    licence, given, holder = await authorised(office)
    path = f"{BASE}/licenses/{licence['id']}/authorisations/{given['id']}"
    assert (await office.client.delete(path, headers=holder)).status_code == 204


async def use(office: Office) -> None:
    licence, given, _ = await authorised(office)
    body = {
        "auth_code": given["auth_code"],
        "case_number": "540100000001",
        "matter_code": "M1",
        "reason": "核验经营资格",
    }
    answer = await office.client.post(
        f"{BASE}/licenses/{licence['id']}/uses", json=body, headers=once(office.system)
    )
    assert answer.status_code == 201, answer.text


async def print_page(office: Office) -> None:
    licence = await office.issued()
    answer = await office.client.post(
        f"{BASE}/licenses/{licence['id']}/prints", json=WHY, headers=office.officer
    )
    assert answer.status_code == 200, answer.text


async def start_job(office: Office) -> None:
    answer = await office.client.post(f"{BASE}/signing-jobs", json={}, headers=once(office.officer))
    assert answer.status_code == 202, answer.text


async def sign_collected(office: Office) -> None:
    await collect_one(office)
    await start_job(office)
    assert await timers.sign(office.client.database, clock.now()) == 1


async def publish(office: Office) -> None:
    answer = await office.publish(a_type(trust="B"), **{"If-Match": '"1"'})
    assert answer.status_code == 200, answer.text


async def rotate(office: Office) -> None:
    answer = await office.client.post(f"{BASE}/signing-keys/rotation", headers=office.administrator)
    assert answer.status_code == 200, answer.text


async def link(office: Office) -> None:
    _ = await office.issued()
    _ = await office.verify()


OTHERS = {
    issue.issue_for_case: Trace(
        lambda o: o.take(a_decision()), None, "license.issue", "license-issued", by_system=True
    ),
    uses.authorise: Trace(authorise, None, "license.authorise", None),
    uses.withdraw_authorisation: Trace(
        withdraw_authorisation, None, "license.withdraw_authorisation", None
    ),
    uses.use_license: Trace(use, None, "license.use", "license-used"),
    prints.record_print: Trace(print_page, None, "license.print", None),
    jobs.start_job: Trace(start_job, None, "licenses.sign", None),
    jobs.sign_batch: Trace(
        sign_collected, None, "licenses.sign_batch", "license-changed", by_system=True
    ),
    types.publish_version: Trace(publish, None, "license-type.publish", None),
    keys.rotate_key: Trace(rotate, None, "license-keys.rotate", None),
    links.link_person: Trace(link, None, None, "license-changed", by_system=True),
}
"""Acts that are no operation of the model, by the use case that does them."""
SAME_WRITER = {
    # Tested in test_uses.py and test_links.py: they write by the same functions as those above.
    uses.log_case_use,
    links.link_organisation,
    # Operations are in `OPERATIONS`.
    issue.issue_license,
    collect.collect_records,
    expiry.expire_due,
    operations.suspend_license,
    operations.release_license,
    operations.end_license,
    operations.transfer_license,
    operations.change_license,
    operations.renew_license,
}
NO_ACTS = {"count_refusal", "count_intakes", "get_signer", "hold_links"}
"""Public functions of these modules that change no record."""


def test_every_operation_and_every_use_case_has_its_case() -> None:
    modules = (collect, expiry, issue, jobs, keys, links, operations, prints, types, uses)
    public: set[Any] = set()
    for module in modules:
        for name, value in vars(module).items():
            is_own = callable(value) and getattr(value, "__module__", "") == module.__name__
            if is_own and not isinstance(value, type) and not name.startswith("_"):
                public.add(value)

    assert set(OPERATIONS) == set(Operation)
    assert {one for one in public if one.__name__ not in NO_ACTS} == {*OTHERS, *SAME_WRITER}


CASES = {
    **{key.value: trace for key, trace in OPERATIONS.items()},
    **{key.__name__: trace for key, trace in OTHERS.items()},
}


@pytest.mark.parametrize("name", CASES)
async def test_act_leaves_step_audit_and_event_with_agent_and_time(
    office: Office, name: str
) -> None:
    trace = CASES[name]
    started = clock.now()

    _ = await trace.do(office)

    event: Envelope | None = None
    if trace.event is not None:
        of_name = [fact for fact in await office.facts() if f".{trace.event}." in fact.type]
        event = of_name[-1]
        assert event.actor
        assert (event.actor == "system") is trace.by_system
    if trace.action is not None:
        rows = await office.fetch(
            "SELECT * FROM audit WHERE action = $1 ORDER BY id DESC LIMIT 1", trace.action
        )
        (row,) = rows
        assert (row["actor"] == "system") is trace.by_system
        assert started <= row["at"] <= clock.now()
    steps = await office.fetch("SELECT * FROM license_step ORDER BY id DESC LIMIT 1")
    if trace.step is not None:
        (step,) = steps
        assert step["act"] == trace.step
        assert event is not None
        assert (
            step["at"].isoformat() == datetime.fromisoformat(event.data["occurred_at"]).isoformat()
        )
        assert UUID(event.data["license_id"]) == step["license_id"]
        assert event.data["status"] == step["status"]


async def test_first_version_is_the_history_of_its_making(office: Office) -> None:
    _ = await office.issued()
    await collect_one(office)

    rows = await office.fetch("SELECT act, made_by, made_at FROM license_version ORDER BY act")

    assert [row["act"] for row in rows] == ["collect", "issue"]
    assert all(row["made_by"] and row["made_at"] for row in rows)


def test_rows_of_bulk_statements_have_the_columns_of_the_table_in_order() -> None:
    names = [field.name for field in fields(LicenseRow)]

    assert names == [column.name for column in License.__table__.columns]
    assert {"license_id", "version"} <= {column.name for column in LicenseVersion.__table__.columns}
