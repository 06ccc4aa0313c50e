"""The ledger (台账): facts become what the platform owes the regional platform.

There is one record per key, and its newest version goes out.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple, Protocol, TypedDict, TypeVar

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.region.model.ledger import LedgerResource, Operation
from services.exchange.region.queries import ledger
from shared import clock
from shared.database.direct import command
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

E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Event, contravariant=True)
Fields = dict[str, Value]

CHANNELS = {"window": "0", "pc": "1", "mobile": "2", "kiosk": "3", "import": "9"}
"""申请方式."""
APPLICANTS = {"person": "1", "organisation": "2"}
"""申请人类型."""
PROJECT_TYPES = {True: "1", False: "2"}
"""即办件, 承诺件."""
YES_OR_NO = {True: "1", False: "0"}
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

NO_RESULT: Fields = dict.fromkeys(("result_state", "result_date", "is_overdue", "result_type"))

UPSERT = command(
    "INSERT INTO ledger (resource, key, version, op, day, area_code, department_code, record, rd,"
    "  loose, b1, b2, d1, d2, last_seq, changed_at)"
    " SELECT :resource, w.key, w.version, w.op, w.day, w.area, w.department, w.record, w.rd,"
    "  w.loose, get_byte(w.kh, 0), get_byte(w.kh, 1),"
    "  CAST(CAST('x' || encode(substr(w.e, 1, 8), 'hex') AS bit(64)) AS bigint),"
    "  CAST(CAST('x' || encode(substr(w.e, 9, 8), 'hex') AS bit(64)) AS bigint),"
    "  nextval('ledger_seq'), :now"
    " FROM (SELECT *, sha256(kh || int8send(version) || convert_to(op, 'UTF8') || rd) AS e FROM ("
    "  SELECT r->>'key' AS key, CAST(r->>'version' AS bigint) AS version, r->>'op' AS op,"
    "   CAST(r->>'day' AS date) AS day, r->>'area' AS area, r->>'department' AS department,"
    "   r->>'record' AS record, sha256(convert_to(r->>'record', 'UTF8')) AS rd,"
    "   sha256(convert_to(r->>'loose', 'UTF8')) AS loose,"
    "   sha256(convert_to(:stream, 'UTF8') || decode('00', 'hex')"
    "    || convert_to(r->>'key', 'UTF8')) AS kh"
    "  FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r) AS given ORDER BY key) AS w"
    " ON CONFLICT (resource, key) DO UPDATE SET version = excluded.version, op = excluded.op,"
    "  record = excluded.record, rd = excluded.rd, loose = excluded.loose, d1 = excluded.d1,"
    "  d2 = excluded.d2, last_seq = excluded.last_seq, changed_at = excluded.changed_at,"
    "  push_state = 'waiting', reject_code = NULL WHERE ledger.version < excluded.version"
)
"""The digests of `shared.domain.recon`, made where they are summed.

The window of a row never changes, nor whose it is.
"""


class Owed(NamedTuple):
    """One key as it stands. `day` is its window, `record` what the region must have."""

    version: int
    day: date
    area: str
    department: str
    record: Fields


class NewRow(TypedDict):
    """A row of the ledger to be written; `record` and `loose` as `shared.domain.recon` has them."""

    key: str
    version: int
    op: Operation
    day: str
    area: str
    department: str
    record: str
    loose: str


class After(Protocol[F]):
    """How one key stands after a fact; `before` is None at its first one."""

    def __call__(self, before: Owed | None, event: F, *, key: str) -> Owed: ...


async def upsert_cases(
    session: AsyncSession, events: Sequence[CaseEvent], *, now: datetime
) -> None:
    """Cases (办件): accept, process and result fields, as the facts say, in order."""
    keyed = [(case_key(event), event) for event in events]
    await _upsert(session, "cases", events=keyed, after=case_after, now=now)


async def upsert_ratings(
    session: AsyncSession, events: Sequence[RatingSubmitted | RatingExcluded], *, now: datetime
) -> None:
    """Ratings (评价): each rating, and whether it counts."""
    keyed = [(str(event.rating_id), event) for event in events]
    await _upsert(session, "ratings", events=keyed, after=rating_after, now=now)


async def _upsert(
    session: AsyncSession,
    resource: LedgerResource,
    *,
    events: Sequence[tuple[str, E]],
    after: After[E],
    now: datetime,
) -> None:
    """Apply facts, given with their keys, to what is owed; `after` applies one."""
    before = await _read_owed(session, resource, keys={key for key, _ in events})
    owed = dict(before)
    for key, event in events:
        known = owed.get(key)
        # What comes twice, or late, changes nothing.
        if known is None or known.version < event.event_number:
            owed[key] = after(known, event, key=key)
    changed: list[NewRow] = []
    for key, one in owed.items():
        if one == before.get(key):
            continue
        op = Operation.UPDATE if key in before else Operation.INSERT
        changed.append(_new_row(key, one, op=op))
    await store(session, resource, rows=changed, now=now)


async def _read_owed(
    session: AsyncSession, resource: LedgerResource, *, keys: Collection[str]
) -> dict[str, Owed]:
    owed: dict[str, Owed] = {}
    for row in await ledger.lock_owed(session, resource, keys=keys):
        record: Fields = orjson.loads(row.record)
        owed[row.key] = Owed(row.version, row.day, row.area_code, row.department_code, record)
    return owed


async def store(
    session: AsyncSession, resource: LedgerResource, *, rows: Sequence[NewRow], now: datetime
) -> None:
    """Write rows in one statement; one that is there in this version or a newer one stays."""
    if rows:
        given = orjson.dumps(rows).decode()
        await UPSERT.execute(
            session, resource=resource, stream=stream(resource), rows=given, now=now
        )


def _new_row(key: str, owed: Owed, *, op: Operation) -> NewRow:
    return NewRow(
        key=key,
        version=owed.version,
        op=op,
        day=owed.day.isoformat(),
        area=owed.area,
        department=owed.department,
        record=canonical(owed.record),
        loose=loose(owed.record),
    )


def case_key(event: CaseEvent) -> str:
    """办件编号, unique in the city.

    A number of a bureau's own system is unique only there, so the bureau stands before it.
    """
    if isinstance(event, CaseImported):
        return f"{event.area_code}/{event.department_code}/{event.number}"
    return event.number


def _received_day(event: CaseEvent) -> date:
    """The window of a case, from the first fact that is known of it."""
    # The day must never change, so it is taken from the first fact alone.
    if isinstance(event, CaseImported):
        if event.received_on is not None:
            return event.received_on
        if event.accepted_on is not None:
            return event.accepted_on
    if isinstance(event, CaseReceived):
        return event.received_on
    return clock.local_date(event.occurred_at)


def _first_case(key: str, event: CaseEvent) -> Owed:
    day = _received_day(event)
    record: Fields = {
        "project_no": key,
        "project_name": event.matter_name,
        "task_code": event.matter_code,
        "task_type": event.matter_type,
        "project_type": PROJECT_TYPES[event.immediate],
        "applyer_type": APPLICANTS[event.applicant_kind],
        "apply_type": CHANNELS[event.channel],
        "area_code": event.area_code,
        "org_code": event.department_code,
        "receive_date": day.isoformat(),
    }
    return Owed(0, day, event.area_code, event.department_code, record)


def case_after(before: Owed | None, event: CaseEvent, *, key: str) -> Owed:
    """The case as it stands after a fact."""
    owed = before or _first_case(key, event)
    fact = event.wire_type.split(".")[2]
    moment = event.occurred_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    record: Fields = {
        **owed.record,
        "event_name": ACTS.get(fact),
        "event_time": moment,
        **_fields_of(event),
    }
    return owed._replace(version=event.event_number, record=record)


def _fields_of(event: CaseEvent) -> Mapping[str, Value]:
    """The fields that only this fact tells."""
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
            return _result_fields(event)
        case ResultDelivered():
            return {"delivery_type": event.method, "delivery_date": str(event.delivered_on)}
        case CaseImported():
            accepted: Fields = {"accept_date": _day(event.accepted_on)}
            # A newer version says all anew: it may take back that the case was closed.
            if event.closed_on is None:
                return {**accepted, **NO_RESULT}
            return {**accepted, **NO_RESULT, **_result_fields(event)}
        case _:
            return {}


def _result_fields(event: CaseClosed | CaseImported) -> Fields:
    fields: Fields = {
        "result_state": event.state,
        "result_date": _day(event.closed_on),
        "is_overdue": YES_OR_NO[event.overdue],
    }
    if event.result is not None:
        fields["result_type"] = event.result
    return fields


def _day(day: date | None) -> str | None:
    if day is None:
        return None
    return day.isoformat()


def rating_after(before: Owed | None, event: RatingSubmitted | RatingExcluded, *, key: str) -> Owed:
    """The rating as it stands: grade and tags, and whether it counts.

    An excluded rating is not deleted, it is no longer effective (有效性).
    """
    record: Fields = {
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
        record["eval_detail"] = ",".join(event.tags) or None
        record["writing_evaluation"] = event.text
    else:
        record["is_effective"] = "0"
    owed = before or Owed(0, event.rated_on, event.area_code, event.department_code, {})
    return owed._replace(version=event.event_number, record={**owed.record, **record})
