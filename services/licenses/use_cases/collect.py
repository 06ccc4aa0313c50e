"""采集: records of old licenses, a chunk at a time, in set-based statements.

A record is known by (area, department, type, number, version). The same record again changes
nothing, nor does an older version; a newer one becomes the next version; other content under a
known version is refused. A chunk is one transaction: after a crash it is either done or comes
again as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, NamedTuple, cast

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.journal import Journal
from services.licenses.model.license import collected_event
from services.licenses.model.states import (
    IRREVERSIBLE,
    HolderKind,
    Operation,
    Origin,
    Status,
    Trust,
)
from services.licenses.queries.collected import Known, KnownLicense, find_accounts, lock_known
from services.licenses.queries.types import Type, read_types
from services.licenses.schemas.collected import CollectedLicense
from services.licenses.signing import canonical, digest_of
from services.licenses.use_cases.links import hold_links
from services.licenses.use_cases.making import (
    Draft,
    NewLicense,
    identifier_of,
    make,
    make_and_store,
    store_versions,
)
from shared import clock
from shared.database.direct import command
from shared.errors import ConflictError, FieldError
from shared.events.base import Event
from shared.events.exchange import RecordReceived
from shared.events.licenses import LicenseRecordsJudged
from shared.events.records import Fault, Verdict, faults_of
from shared.security.crypto import open_sealed, pseudonym

REASON = "来源系统状态变更"
FIELDS = frozenset(CollectedLicense.model_fields)
LONGEST_KEY = 60
"""Characters of a record's number that a verdict repeats."""
# Two chunks of one department would otherwise meet on the same licenses and identifiers.
ONE_CHUNK_AT_A_TIME = command("SELECT pg_advisory_xact_lock(hashtextextended(:place, 0))")

RowStatus = Literal["accepted", "unchanged", "rejected"]
ROW_STATUSES: tuple[RowStatus, ...] = ("accepted", "unchanged", "rejected")


@dataclass(slots=True)
class Row:
    """One record on its way: as it was sent, parsed once it is sound, and its verdict."""

    number: int
    raw: object
    record: CollectedLicense | None = None
    holder: str = ""
    """The pseudonym of a sound record's holder."""
    status: RowStatus | None = None
    faults: list[Fault] = field(default_factory=list[Fault])

    def reject(self, error: FieldError) -> None:
        entry = error.as_dict()
        self._reject(Fault.model_validate(entry))

    def reject_invalid(self, error: ValidationError) -> None:
        for fault in faults_of(error, FIELDS):
            self._reject(fault)

    def _reject(self, fault: Fault) -> None:
        self.faults.append(fault)
        self.status = "rejected"

    def verdict(self) -> Verdict:
        # Built without validation: a chunk has a thousand of them.
        return Verdict.model_construct(
            row=self.number, key=self._key(), status=self.status, faults=self.faults
        )

    def _key(self) -> str | None:
        """The record's own number, where the sender's text can be repeated."""
        if not isinstance(self.raw, dict):
            return None
        number = cast("dict[str, object]", self.raw).get("source_number")
        if not isinstance(number, str) or not 0 < len(number) <= LONGEST_KEY:
            return None
        if not number.isprintable():
            return None
        return number


class SoundRow(NamedTuple):
    """A row whose record fits its type."""

    row: Row
    record: CollectedLicense
    type: Type


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, and when the chunk is taken in."""

    area: str
    department: str
    now: datetime
    today: date


async def collect_records(session: AsyncSession, event: RecordReceived, *, now: datetime) -> None:
    """Check every row of a chunk, store what is sound, and answer with a verdict for each."""
    sender = Sender(event.area_code, event.department_code, now, clock.local_date(now))
    await ONE_CHUNK_AT_A_TIME.execute(session, place=f"{sender.area}/{sender.department}")
    raw: list[object] = open_sealed(event.records, purpose="exchange.records")
    rows: list[Row] = []
    for number, record in enumerate(raw, start=event.first_row):
        rows.append(Row(number, record))
    journal = Journal(now)
    sound = await _check_rows(session, rows, sender=sender)
    await _store_sound(session, sound, journal=journal, sender=sender)
    judged = LicenseRecordsJudged(
        batch_id=event.batch_id,
        chunk=event.chunk,
        revision=event.chunk,
        occurred_at=now,
        verdicts=[row.verdict() for row in rows],
    )
    journal.append_events(judged)
    journal.append_audit(
        "licenses.collect",
        object_id=event.batch_id,
        object_type="batch",
        chunk=event.chunk,
        counts=_counts(rows),
    )
    await journal.write(session)


async def _store_sound(
    session: AsyncSession, sound_rows: Sequence[SoundRow], *, journal: Journal, sender: Sender
) -> None:
    """Store the sound rows; each gets its verdict."""
    waiting = sound_rows
    if waiting:
        await hold_links(session, {sound.row.holder for sound in waiting})
    while waiting:
        wave = _first_of_each_license(waiting)
        events = await _store_wave(session, wave, sender=sender)
        journal.append_events(*events)
        # Further versions of these licenses come in the next wave, on what this one has stored.
        waiting = [sound for sound in waiting if sound.row.status is None]


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    counts: dict[str, int] = dict.fromkeys(ROW_STATUSES, 0)
    for row in rows:
        assert row.status is not None
        counts[row.status] += 1
    return counts


async def _check_rows(
    session: AsyncSession, rows: Sequence[Row], *, sender: Sender
) -> list[SoundRow]:
    """The rows whose records are sound; the others are rejected with every fault."""
    codes: set[str] = set()
    for row in rows:
        try:
            row.record = CollectedLicense.model_validate(row.raw)
        except ValidationError as error:
            row.reject_invalid(error)
            continue
        row.holder = pseudonym(row.record.holder_id_number)
        codes.add(row.record.type_code)
    types = await read_types(session, codes)
    sound: list[SoundRow] = []
    for row in rows:
        if row.record is None:
            continue
        type_ = types.get(row.record.type_code)
        if type_ is None:
            row.reject(FieldError("type_code", "known_type", message="is not published"))
            continue
        _check_against_type(row, row.record, type_=type_, sender=sender)
        if row.status is None:
            sound.append(SoundRow(row, row.record, type_))
    return sound


def _check_against_type(row: Row, record: CollectedLicense, *, type_: Type, sender: Sender) -> None:
    for error in type_.document.faults(record.fields):
        row.reject(error)
    if not type_.document.fits_holder(record.holder_kind):
        row.reject(
            FieldError("holder_kind", "holder_kind", message="is not what this type is issued to")
        )
    if type_.document.issuer(sender.department) is None:
        row.reject(
            FieldError(
                "type_code", "issuer", message="your department is no issuing body of this type"
            )
        )


def _first_of_each_license(waiting: Sequence[SoundRow]) -> list[SoundRow]:
    """One row per license.

    Versions of one license within a chunk are stored one after the other.
    """
    first: dict[tuple[str, str], SoundRow] = {}
    # Backwards, so that the first row of a license replaces the later ones.
    for sound in reversed(waiting):
        first[sound.record.type_code, sound.record.source_number] = sound
    return list(first.values())


async def _store_wave(
    session: AsyncSession, wave: Sequence[SoundRow], *, sender: Sender
) -> list[Event]:
    """Store the rows that bring something, no two of which are of the same license.

    Events of new licenses are written with them; those of further versions are returned.
    """
    identifiers = [_identifier(sound, sender) for sound in wave]
    known = await _lock_known(session, wave, identifiers=identifiers, sender=sender)
    accounts = await find_accounts(session, {sound.row.holder for sound in wave})
    new: list[Draft] = []
    further: list[NewLicense] = []
    for index, sound in enumerate(wave):
        before = known.get(index)
        draft = _accept(sound, before, identifier=identifiers[index], sender=sender)
        if draft is None:
            continue
        draft.account_id = accounts.get(sound.row.holder)
        if before is None or before.license is None:
            new.append(draft)
            continue
        _continue_license(draft, before.license)
        further.append(make(draft, signer=None, now=sender.now))
    await _store_new(session, new, now=sender.now)
    await store_versions(session, further)
    # Their events come back: the statement that stores versions writes none.
    return [collected_event(made, reason=REASON, now=sender.now) for made in further]


def _accept(
    sound: SoundRow, before: Known | None, *, identifier: str, sender: Sender
) -> Draft | None:
    """The license that the record makes; None when it brings nothing new, or is rejected."""
    digest = _source_digest(sound.record)
    if before is not None and not _brings_something(sound, before, digest=digest):
        return None
    sound.row.status = "accepted"
    return _draft(sound, sender, identifier=identifier, digest=digest)


async def _lock_known(
    session: AsyncSession,
    wave: Sequence[SoundRow],
    *,
    identifiers: Sequence[str],
    sender: Sender,
) -> dict[int, Known]:
    """What is known of the rows, by their position."""
    return await lock_known(
        session,
        area=sender.area,
        department=sender.department,
        types=[sound.record.type_code for sound in wave],
        numbers=[sound.record.source_number for sound in wave],
        identifiers=identifiers,
    )


async def _store_new(session: AsyncSession, drafts: Sequence[Draft], *, now: datetime) -> None:
    if drafts and await make_and_store(session, drafts, now=now) != len(drafts):
        raise ConflictError(
            "another process stored one of these licences at this moment; the chunk comes again"
        )


def _identifier(sound: SoundRow, sender: Sender) -> str:
    return identifier_of(
        sound.record.type_code,
        issuer=sender.department,
        number=sound.record.source_number,
        version=sound.record.version,
        holder_kind=HolderKind(sound.record.holder_kind),
        holder=sound.row.holder,
    )


def _source_digest(record: CollectedLicense) -> str:
    """Recognises a record that is sent again under the same version."""
    return digest_of(canonical(record.model_dump(mode="json", exclude_none=True)))


def _brings_something(sound: SoundRow, known: Known, *, digest: str) -> bool:
    """Whether the record is a further version of what is known; else the row gets its verdict."""
    row, record, before = sound.row, sound.record, known.license
    if before is None or known.identifier_of not in {None, before.id}:
        row.reject(
            FieldError(
                "source_number",
                "identifier_free",
                message="the identifier made of type and number belongs to another licence",
            )
        )
        return False
    # What was issued here is changed here, with a reason; a record must not overwrite it.
    if before.origin is not Origin.COLLECTED:
        row.reject(
            FieldError(
                "source_number",
                "issued_here",
                message="a licence with this number was issued here; change that one",
            )
        )
        return False
    # Batches may come out of order: an old version says nothing about the present one.
    if record.version < before.version:
        row.status = "unchanged"
        return False
    if record.version == before.version:
        _compare_content(row, before, digest=digest)
        return False
    if before.status in IRREVERSIBLE:
        row.reject(
            FieldError("status", "irreversible", message="was revoked; nothing follows that")
        )
        return False
    if before.holder != row.holder:
        row.reject(
            FieldError(
                "holder_id_number",
                "same_holder",
                message="a licence keeps its holder; send the other's under its own number",
            )
        )
        return False
    return True


def _compare_content(row: Row, before: KnownLicense, *, digest: str) -> None:
    """The verdict on a record whose version is known."""
    if before.source_digest == digest:
        row.status = "unchanged"
        return
    row.reject(
        FieldError(
            "version",
            "same_version_different",
            message="another content was sent under this version; raise the version",
        )
    )


def _draft(sound: SoundRow, sender: Sender, *, identifier: str, digest: str) -> Draft:
    record = sound.record
    return Draft(
        type=sound.type,
        area_code=sender.area,
        department_code=sender.department,
        number=record.source_number,
        version=record.version,
        identifier=identifier,
        holder_kind=HolderKind(record.holder_kind),
        holder_name=record.holder_name,
        holder_id_number=record.holder_id_number,
        holder=sound.row.holder,
        fields=record.fields,
        issuer_name=record.issuer_name,
        issued_on=record.issued_on,
        valid_from=record.valid_from or record.issued_on,
        valid_until=record.valid_until,
        origin=Origin.COLLECTED,
        # Checked at a window against an old paper, not made by this platform.
        trust=Trust.B,
        status=_status(record, sender.today),
        source_digest=digest,
        operation=Operation.COLLECT,
    )


def _status(record: CollectedLicense, today: date) -> Status:
    """As it was sent, but expired where its last day is over."""
    status = Status(record.status)
    is_over = record.valid_until is not None and record.valid_until < today
    # Revoked and cancelled ones keep their state: it says more than that the term is over.
    if is_over and status in {Status.VALID, Status.SUSPENDED}:
        return Status.EXPIRED
    return status


def _continue_license(draft: Draft, before: KnownLicense) -> None:
    """Make the draft the next version of the license that is there."""
    draft.license_id = before.id
    draft.revision = before.revision + 1
    draft.previous = before.identifier
    draft.operation = Operation.CHANGE
