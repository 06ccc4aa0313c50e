"""Making licences: the canonical record, its digest and signature, and the one statement that stores any number of them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.identifiers import identifier, serial_of
from services.licenses.model.license import RECORD, facts_of
from services.licenses.queries.types import Type
from services.licenses.signing import Signer, canonical, digest_of
from shared import context
from shared.database import audit
from shared.database.direct import UntypedDirect
from shared.events.licenses import LicenseIssued
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import encrypt, pseudonym

COLUMNS = {
    "id": "uuid",
    "revision": "int",
    "version": "smallint",
    "identifier": "text",
    "number": "text",
    "type_code": "text",
    "type_version": "int",
    "type_name": "jsonb",
    "area_code": "text",
    "department_code": "text",
    "issuer_code": "text",
    "holder_kind": "text",
    "holder": "text",
    "account_id": "uuid",
    "status": "text",
    "trust": "text",
    "origin": "text",
    "signed": "boolean",
    "issued_on": "date",
    "valid_from": "date",
    "valid_until": "date",
    "digest": "text",
    "source_digest": "text",
    "case_id": "uuid",
    "case_number": "text",
    "matter_code": "text",
    "matter_name": "text",
    "created_at": "timestamptz",
    "changed_at": "timestamptz",
}
VERSION_COLUMNS = {
    "previous": "text",
    "record": "bytea",
    "kid": "text",
    "signature": "text",
    "act": "text",
    "reason": "text",
    "made_by": "text",
    "made_at": "timestamptz",
}
_NAMES = ", ".join(COLUMNS)
_TYPED = ", ".join(f"{name} {kind}" for name, kind in (COLUMNS | VERSION_COLUMNS).items())
_GIVEN = f"WITH given AS (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r ({_TYPED}))"
_VERSIONS = (
    "INSERT INTO license_version (license_id, version, identifier, previous, record, digest, kid, signature, act, reason,"
    " made_by, made_at) SELECT id, version, identifier, previous, record, digest, kid, signature, act, reason, made_by, made_at"
    " FROM given WHERE id IN (SELECT id FROM stored)"
)
_AUDIT = "id uuid, at timestamptz, actor text, on_behalf_of text, action text, object_type text, object_id text, reason text"
_AUDITED = _AUDIT + ", detail jsonb, request_id text"
_AUDIT_NAMES = ", ".join(column.partition(" ")[0] for column in _AUDITED.split(", "))
STORE = UntypedDirect(
    f"{_GIVEN}, stored AS (INSERT INTO license ({_NAMES}) SELECT {_NAMES} FROM given"
    f" ON CONFLICT DO NOTHING RETURNING id), versions AS ({_VERSIONS}),"
    " counted AS (INSERT INTO license_counting (area_code, department_code, type_code, collected, issued, signed)"
    " SELECT area_code, department_code, type_code, count(*) FILTER (WHERE origin = 'collected'),"
    " count(*) FILTER (WHERE origin <> 'collected'), count(*) FILTER (WHERE signed)"
    " FROM given WHERE id IN (SELECT id FROM stored) GROUP BY 1, 2, 3),"
    " told AS (INSERT INTO outbox (topic, key, event_id, payload) SELECT e.topic, e.key, e.id, e.payload"
    "  FROM unnest(CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:ids AS uuid[]), CAST(:payloads AS bytea[]))"
    "  WITH ORDINALITY AS e (topic, key, id, payload, place) JOIN stored s ON s.id = CAST(e.key AS uuid) ORDER BY e.place),"
    f" audited AS (INSERT INTO audit ({_AUDIT_NAMES}) SELECT a.* FROM"
    f"  jsonb_to_recordset(CAST(:audits AS jsonb)) AS a ({_AUDITED}) JOIN stored s ON s.id = CAST(a.object_id AS uuid))"
    " SELECT id FROM stored"
)
"""New licences with their first versions, counts, facts and audit rows; what is there already is passed over with all of it."""
AT_ONCE = 50
"""Licences that one statement stores where many are collected."""
RENEW = UntypedDirect(
    f"{_GIVEN}, stored AS (UPDATE license l SET"
    + ", ".join(
        f" {name} = g.{name}" for name in COLUMNS if name not in {"id", "created_at", "case_id"}
    )
    + f" FROM given g WHERE l.id = g.id RETURNING l.id), versions AS ({_VERSIONS}),"
    " counted AS (INSERT INTO license_counting (area_code, department_code, type_code, signed)"
    " SELECT g.area_code, g.department_code, g.type_code, sum(g.signed::int - l.signed::int)"
    " FROM given g JOIN license l ON l.id = g.id WHERE g.signed <> l.signed GROUP BY 1, 2, 3)"
    " SELECT id FROM stored"
)
"""Further versions of licences that are there, whose rows are locked; the counts follow whether they are signed.

`license` shows them here as they were before: a statement does not see what it writes.
"""


@dataclass(kw_only=True)
class Draft:
    """What a licence is to say; the rest follows from it."""

    type: Type
    area_code: str
    department_code: str
    number: str
    holder_kind: str
    holder_name: str
    holder_id_number: str
    issued_on: date
    valid_from: date
    valid_until: date | None
    origin: str
    trust: str
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    issuer_name: str | None = None
    status: str = "01"
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
    act: str = "issue"
    reason: str | None = None
    identifier: str | None = None
    holder: str | None = None
    """The pseudonym. Both where they were made already."""

    @property
    def issuer(self) -> str:
        return self.department_code

    def record(self, name: str) -> dict[str, Any]:
        """What is signed; `name` is its identifier."""
        body = self.type.document.issuer(self.issuer)
        until = self.valid_until.isoformat() if self.valid_until else None
        matter = {"code": self.matter_code, "name": self.matter_name} if self.matter_name else None
        absent = {
            "previous": self.previous,
            "valid_until": until,
            "case_number": self.case_number,
            "matter": matter,
        }
        return {
            **{key: value for key, value in absent.items() if value is not None},
            "identifier": name,
            "number": self.number,
            "version": self.version,
            "type": {"code": self.type.code, "version": self.type.version, "name": self.type.name},
            "issuer": {
                "name": self.issuer_name or (body.name if body else self.issuer),
                "code": self.issuer,
            },
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


@dataclass(frozen=True, slots=True)
class Made:
    """A licence ready to be stored: its columns, and those of its version."""

    row: dict[str, Any]

    @property
    def id(self) -> UUID:
        return self.row["id"]

    def view(self) -> Any:
        """The row as an object, for facts and answers."""
        return SimpleNamespace(**self.row)


_SAME = (
    *(
        "number",
        "area_code",
        "department_code",
        "holder_kind",
        "account_id",
        "status",
        "trust",
        "origin",
        "issued_on",
    ),
    *(
        "valid_from",
        "valid_until",
        "source_digest",
        "case_id",
        "case_number",
        "matter_code",
        "matter_name",
        "version",
    ),
    *("revision", "previous", "act", "reason"),
)
"""Columns that are as the draft has them."""


def name_of(
    type_code: str, issuer: str, number: str, version: int, holder_kind: str, holder: str
) -> str:
    """The identifier of a licence, whose holder's pseudonym is `holder`."""
    serial = serial_of(issuer, type_code, number, holder if holder_kind == "person" else None)
    return identifier(type_code, issuer, serial, version)


def make(draft: Draft, signer: Signer | None, now: datetime) -> Made:
    """The record in its canonical form, digested, signed (with a signer) and encrypted."""
    holder = draft.holder or pseudonym(draft.holder_id_number)
    name = draft.identifier or name_of(
        draft.type.code, draft.issuer, draft.number, draft.version, draft.holder_kind, holder
    )
    content = canonical(draft.record(name))
    return Made(
        {
            **{column: getattr(draft, column) for column in _SAME},
            "id": draft.license_id or new_id(),
            "identifier": name,
            "type_code": draft.type.code,
            "type_version": draft.type.version,
            "type_name": draft.type.name,
            "issuer_code": draft.issuer,
            "holder": holder,
            "signed": signer is not None,
            "digest": digest_of(content),
            "created_at": now,
            "changed_at": now,
            "record": "\\x" + encrypt(content.decode(), RECORD).hex(),
            "kid": signer.kid if signer else None,
            "signature": signer.sign(content) if signer else None,
            "made_by": context.current().actor,
            "made_at": now,
        }
    )


async def store(
    session: AsyncSession, made: Sequence[Made], now: datetime, *, audited: bool = True
) -> set[UUID]:
    """Store new licences and tell of them; the ids of those that were new. `audited`: each with an audit row of its own."""
    return await _store(session, _values(made, now, audited=audited)) if made else set()


async def make_and_store(
    session: AsyncSession, drafts: Sequence[Draft], now: datetime
) -> set[UUID]:
    """Make many, unsigned and without audit rows, and store them: while the database takes some, the next are made."""

    def ready(first: int) -> dict[str, Any]:
        return _values(
            [make(draft, None, now) for draft in drafts[first : first + AT_ONCE]],
            now,
            audited=False,
        )

    stored = set[UUID]()
    making = asyncio.create_task(asyncio.to_thread(ready, 0))
    for following in range(AT_ONCE, len(drafts) + AT_ONCE, AT_ONCE):
        values = await making
        making = asyncio.create_task(asyncio.to_thread(ready, following))
        try:
            stored |= await _store(session, values)
        finally:
            _ = await asyncio.wait([making])
    return stored


def _values(made: Sequence[Made], now: datetime, *, audited: bool) -> dict[str, Any]:
    """What `STORE` is given."""
    views = [one.view() for one in made]
    facts = [outbox.entry(LicenseIssued(**facts_of(view, now))) for view in views]
    acts = [
        audit.entry("license.issue", "license", view.id, type=view.type_code, origin=view.origin)
        for view in views
        if audited
    ]
    columns = {"topics": "topic", "keys": "key", "ids": "event_id", "payloads": "payload"}
    values: dict[str, Any] = {
        name: [fact[column] for fact in facts] for name, column in columns.items()
    }
    return values | {"rows": _rows(made), "audits": orjson.dumps(acts).decode()}


async def _store(session: AsyncSession, values: dict[str, Any]) -> set[UUID]:
    return {row.id for row in await STORE.fetch(session, **values)}


async def store_versions(session: AsyncSession, made: Sequence[Made]) -> None:
    """Store further versions."""
    if made:
        _ = await RENEW.fetch(session, rows=_rows(made))


def _rows(made: Sequence[Made]) -> str:
    # The driver gives ids in a class of its own, which orjson takes for no UUID.
    return orjson.dumps([one.row for one in made], default=str).decode()
