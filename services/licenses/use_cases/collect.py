"""采集: records of old licences, a chunk at a time, in set-based statements.

Idempotent by (area, department, type, number, version): the same again is unchanged, an older version too, a newer one becomes
the next version, and other content under a known version is refused. A chunk is one transaction, so wherever a process dies
the chunk is done or comes again whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import fact_of_status
from services.licenses.model.states import IRREVERSIBLE, Status
from services.licenses.queries import types as queries_types
from services.licenses.queries.types import Type
from services.licenses.schemas.collected import CollectedLicense
from services.licenses.signing import canonical, digest_of
from services.licenses.use_cases.links import keep_links
from services.licenses.use_cases.making import (
    Draft,
    Made,
    make,
    make_and_store,
    name_of,
    store_versions,
)
from shared import clock
from shared.database import audit
from shared.database.direct import UntypedDirect
from shared.errors import ConflictError
from shared.events.base import Event
from shared.events.exchange import RecordReceived
from shared.events.licenses import LicenseRecordsJudged
from shared.events.records import Fault, Verdict, faults_of
from shared.messaging import outbox
from shared.security.crypto import open_sealed, pseudonym

TRUST = "B"
"""Checked against an old paper at a window, not made by us."""
REASON = "来源系统状态变更"
FIELDS = frozenset(CollectedLicense.model_fields)
ONE_AT_A_TIME = UntypedDirect("SELECT pg_advisory_xact_lock(hashtextextended(:place, 0))")
KNOWN = UntypedDirect(
    "WITH given AS (SELECT * FROM unnest(CAST(:types AS text[]), CAST(:numbers AS text[]), CAST(:identifiers AS text[]))"
    "  WITH ORDINALITY AS g (type_code, number, identifier, place)),"
    " found AS (SELECT g.place, l.id, v.license_id AS taken_by FROM given g"
    "  LEFT JOIN LATERAL (SELECT id FROM license WHERE area_code = :area AND department_code = :department"
    "   AND type_code = g.type_code AND number = g.number LIMIT 1) l ON true"
    "  LEFT JOIN LATERAL (SELECT license_id FROM license_version WHERE identifier = g.identifier LIMIT 1) v ON true"
    "  WHERE l.id IS NOT NULL OR v.license_id IS NOT NULL),"
    " mine AS (SELECT l.* FROM license l WHERE l.id = ANY (ARRAY(SELECT id FROM found)) ORDER BY l.id FOR UPDATE)"
    " SELECT m.id, m.revision, m.version, m.identifier, m.holder, m.status, m.origin, m.source_digest, f.taken_by, f.place"
    " FROM found f LEFT JOIN mine m ON m.id = f.id"
)
"""The licences of these numbers, locked in the order of their ids, and whose the identifiers are.

Row by row through the unique indexes (LATERAL … LIMIT 1): a generic plan would otherwise walk the whole department.
"""
LINKS = UntypedDirect(
    "SELECT holder, account_id FROM account_link WHERE holder = ANY (CAST(:holders AS text[]))"
)


@dataclass(slots=True)
class Row:
    """One record on its way: its place in the batch, itself once it is sound, and what became of it."""

    number: int
    raw: Any
    record: CollectedLicense | None = None
    holder: str = ""
    """The pseudonym of a sound record's holder."""
    status: str = ""
    faults: list[Fault] = field(default_factory=list[Fault])

    @property
    def key(self) -> tuple[str, str]:
        assert self.record is not None
        return self.record.type_code, self.record.source_number

    def reject(self, name: str, rule: str, message: str) -> None:
        self.faults.append(Fault(field=name, rule=rule, message=message))
        self.status = "rejected"

    def verdict(self) -> Verdict:
        source: Any = self.raw.get("source_number") if isinstance(self.raw, dict) else None
        key = (
            source
            if isinstance(source, str) and 0 < len(source) <= 60 and source.isprintable()
            else None
        )
        return Verdict.model_construct(
            row=self.number, key=key, status=self.status, faults=self.faults
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Who sends, and when it is taken in."""

    area: str
    department: str
    now: datetime
    today: date


async def collect(session: AsyncSession, event: RecordReceived, now: datetime) -> None:
    """Judge every row of a chunk, store what is sound, and answer with a verdict for each."""
    raw: list[Any] = open_sealed(event.records, "exchange.records")
    rows = [Row(number, record) for number, record in enumerate(raw, start=event.first_row)]
    place = Place(event.area_code, event.department_code, now, clock.local_date(now))
    _ = await ONE_AT_A_TIME.fetch(session, place=f"{place.area}/{place.department}")
    for row in rows:
        _read(row)
    types = await queries_types.read_types(
        session, {row.record.type_code for row in rows if row.record}
    )
    for row in rows:
        if row.record is not None:
            _judge(row, row.record, types.get(row.record.type_code), place)
    facts: list[Event] = []
    waiting = [row for row in rows if not row.status]
    if waiting:
        await keep_links(session, {row.holder for row in waiting})
    while waiting:
        # Versions of one licence within a chunk follow each other: each wave holds one of each.
        wave = list({row.key: row for row in reversed(waiting)}.values())
        facts += await _take(session, wave, types, place)
        waiting = [row for row in waiting if not row.status]
    verdicts = [row.verdict() for row in rows]
    answer: dict[str, Any] = {
        "batch_id": event.batch_id,
        "chunk": event.chunk,
        "revision": event.chunk,
        "occurred_at": now,
    }
    await outbox.add_many(session, [*facts, LicenseRecordsJudged(**answer, verdicts=verdicts)])
    counts = {
        name: sum(row.status == name for row in rows)
        for name in ("accepted", "unchanged", "rejected")
    }
    audit.record(
        session, "licenses.collect", "batch", event.batch_id, chunk=event.chunk, counts=counts
    )


def _read(row: Row) -> None:
    try:
        row.record = CollectedLicense.model_validate(row.raw)
        row.holder = pseudonym(row.record.holder_id_number)
    except ValidationError as error:
        for fault in faults_of(error, FIELDS):
            row.reject(fault.field, fault.rule, fault.message)


def _judge(row: Row, record: CollectedLicense, type_: Type | None, place: Place) -> None:
    """The record against its type: every fault."""
    if type_ is None:
        row.reject("type_code", "known_type", "is not published")
        return
    for fault in type_.document.faults(record.fields):
        row.reject(fault.field, fault.rule, fault.message)
    if type_.document.holder_kind not in {"any", record.holder_kind}:
        row.reject("holder_kind", "holder_kind", "is not what this type is issued to")
    if type_.document.issuer(place.department) is None:
        row.reject("type_code", "issuer", "your department is no issuing body of this type")


async def _take(
    session: AsyncSession, wave: Sequence[Row], types: Mapping[str, Type], place: Place
) -> list[Event]:
    """One wave of sound rows, no two of the same licence: what is known, what is new, what is a further version.

    New licences are told of as they are stored; the facts of further versions come back.
    """
    sound = [(row, row.record) for row in wave if row.record is not None]
    given = {
        "types": [one.type_code for _, one in sound],
        "numbers": [one.source_number for _, one in sound],
        "identifiers": [
            name_of(
                one.type_code,
                place.department,
                one.source_number,
                one.version,
                one.holder_kind,
                row.holder,
            )
            for row, one in sound
        ],
    }
    found = await KNOWN.fetch(session, **given, area=place.area, department=place.department)
    known = {one.place - 1: one for one in found}
    holders = list({row.holder for row in wave})
    links = {one.holder: one.account_id for one in await LINKS.fetch(session, holders=holders)}
    new: list[Draft] = []
    further: list[Made] = []
    for index, (row, record) in enumerate(sound):
        before = known.get(index)
        digest = digest_of(canonical(record.model_dump(mode="json", exclude_none=True)))
        if not _compare(row, record, before, digest):
            continue
        draft = _draft(record, types[record.type_code], place, links.get(row.holder), digest)
        draft.identifier, draft.holder = given["identifiers"][index], row.holder
        if before is None:
            new.append(draft)
        else:
            draft.license_id, draft.revision, draft.previous = (
                before.id,
                before.revision + 1,
                before.identifier,
            )
            draft.act = "change"
            further.append(make(draft, None, place.now))
        row.status = "accepted"
    if new and len(await make_and_store(session, new, place.now)) != len(new):
        raise ConflictError(
            "another process stored one of these licences at this moment; the chunk comes again"
        )
    await store_versions(session, further)
    return [fact_of_status(one.view(), REASON, place.now) for one in further]


def _compare(row: Row, record: CollectedLicense, before: Any, digest: str) -> bool:
    """Whether the row brings something; else its verdict is given."""
    if before is None:
        return True
    if before.id is None or before.taken_by not in {None, before.id}:
        row.reject(
            "source_number",
            "identifier_free",
            "the identifier made of type and number belongs to another licence",
        )
    elif before.origin != "collected":
        row.reject(
            "source_number",
            "issued_here",
            "a licence with this number was issued here; change that one",
        )
    elif record.version < before.version:
        row.status = "unchanged"
    elif record.version == before.version:
        if before.source_digest == digest:
            row.status = "unchanged"
        else:
            words = "another content was sent under this version; raise the version"
            row.reject("version", "same_version_different", words)
    elif Status(before.status) in IRREVERSIBLE:
        row.reject("status", "irreversible", "was revoked; nothing follows that")
    elif before.holder != row.holder:
        row.reject(
            "holder_id_number",
            "same_holder",
            "a licence keeps its holder; send the other's under its own number",
        )
    else:
        return True
    return False


def _draft(record: CollectedLicense, type_: Type, place: Place, account: Any, digest: str) -> Draft:
    first = record.valid_from or record.issued_on
    is_over = (
        record.status in {"01", "02"}
        and record.valid_until is not None
        and record.valid_until < place.today
    )
    return Draft(
        type=type_,
        area_code=place.area,
        department_code=place.department,
        number=record.source_number,
        version=record.version,
        holder_kind=record.holder_kind,
        holder_name=record.holder_name,
        holder_id_number=record.holder_id_number,
        fields=record.fields,
        issuer_name=record.issuer_name,
        issued_on=record.issued_on,
        valid_from=first,
        valid_until=record.valid_until,
        origin="collected",
        trust=TRUST,
        status="05" if is_over else record.status,
        account_id=account,
        source_digest=digest,
        act="collect",
    )
