"""Making licenses: the canonical record, its digest and signature, and the statement that stores
any number of licenses at once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.journal import (
    AUDIT_COLUMNS,
    AUDIT_SQL,
    OUTBOX_SQL,
    StatementValues,
    issue_values,
)
from services.licenses.model.identifiers import identifier, serial_of
from services.licenses.model.license import (
    RECORD,
    License,
    LicenseRow,
    LicenseVersion,
    issued_event,
)
from services.licenses.model.states import HolderKind, Operation, Origin, Status, Trust
from services.licenses.queries.types import Type
from services.licenses.signing import Signer, canonical, digest_of
from shared import context
from shared.database.direct import DIALECT, Direct, command
from shared.ids import new_id
from shared.security.crypto import encrypt, pseudonym

# Small enough that thread and database work at the same time on a chunk of a thousand.
CHUNK = 50
"""Licenses that one statement stores where many are collected."""


@dataclass(kw_only=True, slots=True)
class Draft:
    """What a license is to say. `make` derives the rest from it.

    `identifier` and `holder` (the pseudonym) are given where they are known already.
    """

    type: Type
    area_code: str
    department_code: str
    number: str
    holder_kind: HolderKind
    holder_name: str
    holder_id_number: str
    issued_on: date
    valid_from: date
    valid_until: date | None
    origin: Origin
    trust: Trust
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    issuer_name: str | None = None
    status: Status = Status.VALID
    version: int = 1
    revision: int = 1
    license_id: UUID | None = None
    previous: str | None = None
    account_id: UUID | None = None
    case_id: UUID | None = None
    case_number: str | None = None
    matter_code: str | None = None
    matter_name: str | None = None
    source_digest: str | None = None
    operation: Operation = Operation.ISSUE
    reason: str | None = None
    identifier: str | None = None
    holder: str | None = None

    @property
    def issuer_code(self) -> str:
        """Departments issue under their own code."""
        return self.department_code

    def identifier_for(self, holder: str) -> str:
        """The 证照标识; `holder` is the pseudonym."""
        return self.identifier or identifier_of(
            self.type.code,
            issuer=self.issuer_code,
            number=self.number,
            version=self.version,
            holder_kind=self.holder_kind,
            holder=holder,
        )

    def record(self, identifier: str) -> dict[str, object]:
        """The content that is signed (`model.record.LicenseRecord`). Absent values are left out."""
        record: dict[str, object] = {
            "identifier": identifier,
            "number": self.number,
            "version": self.version,
            "type": {"code": self.type.code, "version": self.type.version, "name": self.type.name},
            "issuer": {"name": self._issuer_name(), "code": self.issuer_code},
            "area_code": self.area_code,
            "holder": {
                "kind": self.holder_kind,
                "name": self.holder_name,
                "number": self.holder_id_number,
            },
            "fields": self.fields,
            "issued_on": self.issued_on.isoformat(),
            "valid_from": self.valid_from.isoformat(),
        }
        if self.previous is not None:
            record["previous"] = self.previous
        if self.valid_until is not None:
            record["valid_until"] = self.valid_until.isoformat()
        if self.case_number is not None:
            record["case_number"] = self.case_number
        if self.matter_name:
            record["matter"] = {"code": self.matter_code, "name": self.matter_name}
        return record

    def _issuer_name(self) -> str:
        """As the paper names it, else as the type does; the code where neither knows a name."""
        if self.issuer_name is not None:
            return self.issuer_name
        body = self.type.document.issuer(self.issuer_code)
        if body is None:
            return self.issuer_code
        return body.name


@dataclass(slots=True)
class NewLicense(LicenseRow):
    """A license ready to be stored: its columns, and those of its version."""

    previous: str | None
    record: str
    """Encrypted; bytea in PostgreSQL's hex form, because it is sent within JSON."""
    kid: str | None
    signature: str | None
    act: Operation
    reason: str | None
    made_by: str
    made_at: datetime


class StoredRow(NamedTuple):
    id: UUID


# Names and types of the columns come from the tables, so that they are written once.
_LICENSE_COLUMNS = list(License.__table__.columns)
_LICENSE_NAMES = [column.name for column in _LICENSE_COLUMNS]
_VERSION_COLUMNS = [
    column
    for column in LicenseVersion.__table__.columns
    if column.name not in {"license_id", *_LICENSE_NAMES}
]
_NAMES = ", ".join(_LICENSE_NAMES)
_TYPED = ", ".join(
    f"{column.name} {column.type.compile(DIALECT)}"
    for column in (*_LICENSE_COLUMNS, *_VERSION_COLUMNS)
)
_CHANGES = ", ".join(
    f"{name} = g.{name}" for name in _LICENSE_NAMES if name not in {"id", "created_at", "case_id"}
)
_GIVEN = f"WITH given AS (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r ({_TYPED}))"
_INSERT_VERSIONS = """INSERT INTO license_version (
    license_id, version, identifier, previous, record, digest, kid, signature, act, reason,
    made_by, made_at
)
SELECT id, version, identifier, previous, record, digest, kid, signature, act, reason,
    made_by, made_at
FROM given WHERE id IN (SELECT id FROM stored)"""

# New licenses with first versions, counts, events and audit rows. A license that is there already
# is skipped with everything that belongs to it.
STORE = Direct(
    f"""{_GIVEN},
stored AS (
    INSERT INTO license ({_NAMES}) SELECT {_NAMES} FROM given ON CONFLICT DO NOTHING RETURNING id
),
versions AS ({_INSERT_VERSIONS}),
counted AS (
    INSERT INTO license_counting
        (area_code, department_code, type_code, collected, issued, signed)
    SELECT area_code, department_code, type_code,
        count(*) FILTER (WHERE origin = '{Origin.COLLECTED}'),
        count(*) FILTER (WHERE origin <> '{Origin.COLLECTED}'),
        count(*) FILTER (WHERE signed)
    FROM given WHERE id IN (SELECT id FROM stored) GROUP BY 1, 2, 3
),
events AS (
    INSERT INTO outbox (topic, key, event_id, payload)
    {OUTBOX_SQL} JOIN stored s ON s.id = CAST(e.key AS uuid) ORDER BY e.place
),
audited AS (
    INSERT INTO audit ({AUDIT_COLUMNS})
    {AUDIT_SQL} JOIN stored s ON s.id = CAST(a.object_id AS uuid)
)
SELECT id FROM stored""",
    StoredRow,
)

# Further versions of licenses, whose rows are locked. `license` shows the licenses as they were
# before, because a statement does not see its own changes.
STORE_VERSIONS = command(
    f"""{_GIVEN},
stored AS (UPDATE license l SET {_CHANGES} FROM given g WHERE l.id = g.id RETURNING l.id),
versions AS ({_INSERT_VERSIONS}),
counted AS (
    INSERT INTO license_counting (area_code, department_code, type_code, signed)
    SELECT g.area_code, g.department_code, g.type_code, sum(g.signed::int - l.signed::int)
    FROM given g JOIN license l ON l.id = g.id WHERE g.signed <> l.signed GROUP BY 1, 2, 3
)
SELECT id FROM stored"""
)


def identifier_of(
    type_code: str,
    *,
    issuer: str,
    number: str,
    version: int,
    holder_kind: HolderKind,
    holder: str,
) -> str:
    """The 证照标识 of a license; `holder` is the pseudonym."""
    person: str | None = None
    if holder_kind is HolderKind.PERSON:
        person = holder
    serial = serial_of(issuer, type_code=type_code, number=number, holder_pseudonym=person)
    return identifier(type_code, issuer=issuer, serial=serial, version=version)


def make(draft: Draft, *, signer: Signer | None, now: datetime) -> NewLicense:
    """The record in its canonical form, digested, encrypted, and signed where there is a signer."""
    holder = draft.holder or pseudonym(draft.holder_id_number)
    name = draft.identifier_for(holder)
    content = canonical(draft.record(name))
    kid: str | None = None
    signature: str | None = None
    if signer is not None:
        kid = signer.kid
        signature = signer.sign(content)
    return NewLicense(
        id=draft.license_id or new_id(),
        revision=draft.revision,
        version=draft.version,
        identifier=name,
        number=draft.number,
        type_code=draft.type.code,
        type_version=draft.type.version,
        type_name=draft.type.name,
        area_code=draft.area_code,
        department_code=draft.department_code,
        issuer_code=draft.issuer_code,
        holder_kind=draft.holder_kind,
        holder=holder,
        account_id=draft.account_id,
        status=draft.status,
        trust=draft.trust,
        origin=draft.origin,
        signed=signer is not None,
        issued_on=draft.issued_on,
        valid_from=draft.valid_from,
        valid_until=draft.valid_until,
        digest=digest_of(content),
        source_digest=draft.source_digest,
        case_id=draft.case_id,
        case_number=draft.case_number,
        matter_code=draft.matter_code,
        matter_name=draft.matter_name,
        created_at=now,
        changed_at=now,
        previous=draft.previous,
        # The signed bytes themselves: made anew from columns they might differ.
        record="\\x" + encrypt(content.decode(), purpose=RECORD).hex(),
        kid=kid,
        signature=signature,
        act=draft.operation,
        reason=draft.reason,
        made_by=context.current().actor,
        made_at=now,
    )


@dataclass(frozen=True, slots=True)
class StoreInput:
    """What `STORE` is given."""

    rows: str
    history: StatementValues

    async def store(self, session: AsyncSession) -> set[UUID]:
        stored = await STORE.fetch(session, rows=self.rows, **self.history)
        return {row.id for row in stored}


def _store_input(made: Sequence[NewLicense], *, now: datetime, audited: bool) -> StoreInput:
    events = [issued_event(row, now) for row in made]
    return StoreInput(_as_json(made), issue_values(made, events, audited=audited))


async def store(session: AsyncSession, license: NewLicense, *, now: datetime) -> bool:
    """Store a new license with its history; False where its number or case has one already."""
    stored = await _store_input([license], now=now, audited=True).store(session)
    return bool(stored)


async def make_and_store(session: AsyncSession, drafts: Sequence[Draft], *, now: datetime) -> int:
    """Make many licenses, unsigned and without audit rows of their own, and store them.

    While the database stores one chunk, a thread makes the next. Returns how many were new.
    """

    def prepare(first: int) -> StoreInput:
        made = [make(draft, signer=None, now=now) for draft in drafts[first : first + CHUNK]]
        return _store_input(made, now=now, audited=False)

    stored = 0
    preparing = asyncio.create_task(asyncio.to_thread(prepare, 0))
    for next_first in range(CHUNK, len(drafts) + CHUNK, CHUNK):
        prepared = await preparing
        # After the last chunk this prepares an empty one, which is not stored.
        preparing = asyncio.create_task(asyncio.to_thread(prepare, next_first))
        try:
            stored += len(await prepared.store(session))
        finally:
            # The thread uses the context of this transaction, so it must not outlive it.
            _ = await asyncio.wait([preparing])
    return stored


async def store_versions(session: AsyncSession, made: Sequence[NewLicense]) -> None:
    """Store further versions."""
    if made:
        await STORE_VERSIONS.execute(session, rows=_as_json(made))


def _as_json(made: Sequence[NewLicense]) -> str:
    # The driver gives ids in a class of its own, which orjson does not take for a UUID.
    return orjson.dumps(made, default=str).decode()
