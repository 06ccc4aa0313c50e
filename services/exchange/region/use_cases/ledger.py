"""台账: facts become what the platform owes the regional platform, one record per key, whose newest version goes out."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.region.queries import ledger
from shared import clock
from shared.database.direct import UntypedDirect
from shared.domain.recon import Value, canonical, loose, stream
from shared.events.base import Event
from shared.events.cases import (
    CaseAccepted,
    CaseClosed,
    CaseDecided,
    CaseDueChanged,
    CaseEvent,
    CaseExtended,
    CaseImported,
    CaseReceived,
    CaseResumed,
    ResultDelivered,
)
from shared.events.ratings import RatingExcluded, RatingSubmitted

CHANNELS = {"window": "0", "pc": "1", "mobile": "2", "kiosk": "3", "import": "9"}
"""申请方式."""
APPLICANTS = {"person": "1", "organisation": "2"}
"""申请人类型."""
ACTS = {
    "case-received": "收件",
    "correction-requested": "补正",
    "case-accepted": "受理",
    "case-not-accepted": "不予受理",
    "case-suspended": "特别程序",
    "case-resumed": "恢复",
    "case-extended": "延期",
    "case-due-changed": "期限调整",
    "case-decided": "决定",
    "case-closed": "办结",
    "result-delivered": "送达",
    "case-withdrawn": "撤回",
    "case-imported": "办件推送",
}
"""环节名称 by fact."""

KEEP = UntypedDirect(
    "INSERT INTO ledger (resource, key, version, op, day, area_code, department_code, record, rd, loose, b1, b2, d1, d2,"
    " last_seq, changed_at)"
    " SELECT :resource, w.key, w.version, w.op, w.day, w.area, w.department, w.record, w.rd, w.loose,"
    " get_byte(w.kh, 0), get_byte(w.kh, 1),"
    " CAST(CAST('x' || encode(substr(w.e, 1, 8), 'hex') AS bit(64)) AS bigint),"
    " CAST(CAST('x' || encode(substr(w.e, 9, 8), 'hex') AS bit(64)) AS bigint), nextval('ledger_seq'), :now"
    " FROM (SELECT *, sha256(kh || int8send(version) || convert_to(op, 'UTF8') || rd) AS e FROM ("
    "  SELECT r->>'key' AS key, CAST(r->>'version' AS bigint) AS version, r->>'op' AS op, CAST(r->>'day' AS date) AS day,"
    "  r->>'area' AS area, r->>'department' AS department, r->>'record' AS record,"
    "  sha256(convert_to(r->>'record', 'UTF8')) AS rd, sha256(convert_to(r->>'loose', 'UTF8')) AS loose,"
    "  sha256(convert_to(:stream, 'UTF8') || decode('00', 'hex') || convert_to(r->>'key', 'UTF8')) AS kh"
    "  FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r) AS given ORDER BY key) AS w"
    " ON CONFLICT (resource, key) DO UPDATE SET version = excluded.version, op = excluded.op, record = excluded.record,"
    " rd = excluded.rd, loose = excluded.loose, d1 = excluded.d1, d2 = excluded.d2, last_seq = excluded.last_seq,"
    " changed_at = excluded.changed_at, push_state = 'waiting', reject_code = NULL WHERE ledger.version < excluded.version"
)
"""The digests of `shared.domain.recon`, made where they are summed. The window of a row never changes, nor whose it is."""


class Owed(NamedTuple):
    """One key as it stands."""

    version: int
    day: date
    area: str
    department: str
    record: dict[str, Value]


async def keep_cases(session: AsyncSession, events: Sequence[Event], now: datetime) -> None:
    """办件: accept, process and result fields of every case, as its facts tell them, in order."""
    about = [event for event in events if isinstance(event, CaseEvent)]
    await _keep(session, "cases", [(case_key(event), event) for event in about], case_after, now)


async def keep_ratings(session: AsyncSession, events: Sequence[Event], now: datetime) -> None:
    """评价: each rating, and whether it counts."""
    about = [event for event in events if isinstance(event, RatingSubmitted | RatingExcluded)]
    await _keep(
        session, "ratings", [(str(event.rating_id), event) for event in about], rating_after, now
    )


async def _keep(
    session: AsyncSession,
    resource: str,
    events: Sequence[tuple[str, Any]],
    after: Callable[[Owed | None, str, Any], Owed],
    now: datetime,
) -> None:
    before = {
        row.key: Owed(
            row.version, row.day, row.area_code, row.department_code, orjson.loads(row.record)
        )
        for row in await ledger.list_owed(session, resource, list({key for key, _ in events}))
    }
    owed = dict(before)
    for key, event in events:
        known = owed.get(key)
        if known is None or known.version < event.revision:
            owed[key] = after(known, key, event)
    changed = [
        _row(key, one, new=key not in before) for key, one in owed.items() if one != before.get(key)
    ]
    await store(session, resource, changed, now)


async def store(
    session: AsyncSession, resource: str, rows: Sequence[dict[str, Any]], now: datetime
) -> None:
    """Write rows in one statement; one that is there already in this version or a newer one stays."""
    if rows:
        given = orjson.dumps(rows).decode()
        _ = await KEEP.fetch(
            session, resource=resource, stream=stream(resource), rows=given, now=now
        )


def _row(key: str, owed: Owed, *, new: bool) -> dict[str, Any]:
    return {
        "key": key,
        "version": owed.version,
        "op": "I" if new else "U",
        "day": owed.day.isoformat(),
        "area": owed.area,
        "department": owed.department,
        "record": canonical(owed.record),
        "loose": loose(owed.record),
    }


def case_key(event: CaseEvent) -> str:
    """办件编号; a number of a bureau's own system is unique only there, so the bureau stands before it."""
    if isinstance(event, CaseImported):
        return f"{event.area_code}/{event.department_code}/{event.number}"
    return event.number


def _first_case(key: str, event: CaseEvent) -> Owed:
    day = clock.local_date(event.occurred_at)
    if isinstance(event, CaseImported):
        day = event.received_on or event.accepted_on or day
    elif isinstance(event, CaseReceived):
        day = event.received_on
    record: dict[str, Value] = {
        "project_no": key,
        "project_name": event.matter_name,
        "task_code": event.matter_code,
        "task_type": event.matter_type,
        "project_type": "1" if event.immediate else "2",
        "applyer_type": APPLICANTS[event.applicant_kind],
        "apply_type": CHANNELS[event.channel],
        "area_code": event.area_code,
        "org_code": event.department_code,
        "receive_date": day.isoformat(),
    }
    return Owed(0, day, event.area_code, event.department_code, record)


def case_after(before: Owed | None, key: str, event: CaseEvent) -> Owed:
    """The case as it stands after a fact."""
    owed = before or _first_case(key, event)
    act = ACTS.get(event.wire_type.split(".")[2])
    moment = event.occurred_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    record = {**owed.record, "event_name": act, "event_time": moment, **_told(event)}
    return owed._replace(version=event.revision, record=record)


def _told(event: CaseEvent) -> dict[str, Value]:
    """What this fact alone says."""
    match event:
        case CaseAccepted():
            return {
                "accept_date": str(event.accepted_on),
                "promise_date": _day(event.promised_due_on),
            }
        case CaseResumed() | CaseExtended():
            return {"promise_date": _day(event.promised_due_on)}
        case CaseDueChanged():
            return {"promise_date": str(event.due_on)}
        case CaseDecided():
            return {"result_type": event.result, "decide_date": str(event.decided_on)}
        case CaseClosed():
            return _closed(event.state, event.result, event.closed_on, overdue=event.overdue)
        case ResultDelivered():
            return {"delivery_type": event.method, "delivery_date": str(event.delivered_on)}
        case CaseImported():
            closed = {} if event.closed_on is None else {"result_date": str(event.closed_on)}
            told = (
                _closed(event.state, event.result, event.closed_on, overdue=event.overdue)
                if closed
                else {}
            )
            return {"accept_date": _day(event.accepted_on), **told}
        case _:
            return {}


def _closed(
    state: str, result: str | None, closed_on: date | None, *, overdue: bool
) -> dict[str, Value]:
    told: dict[str, Value] = {
        "result_state": state,
        "result_date": _day(closed_on),
        "is_overdue": "1" if overdue else "0",
    }
    return told if result is None else {**told, "result_type": result}


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def rating_after(before: Owed | None, key: str, event: RatingSubmitted | RatingExcluded) -> Owed:
    """The rating as it stands: grades and tags as told, and whether it counts (有效性: an exclusion is no deletion)."""
    record: dict[str, Value] = {
        "rating_no": key,
        "project_no": event.case_number,
        "service_number": str(event.service_number),
        "task_code": event.matter_code,
        "area_code": event.area_code,
        "org_code": event.department_code,
        "satisfaction": str(event.grade),
        "pf": event.pf,
        "assess_date": event.rated_on.isoformat(),
        "is_effective": "1",
    }
    if isinstance(event, RatingSubmitted):
        record |= {"eval_detail": ",".join(event.tags) or None, "writing_evaluation": event.text}
    else:
        record["is_effective"] = "0"
    owed = before or Owed(0, event.rated_on, event.area_code, event.department_code, {})
    return owed._replace(version=event.revision, record={**owed.record, **record})
