"""Ratings given inside private networks, as their systems send them (专网评价): every one with the pre-issued token that a
citizen used. The token is the proof, so that a system can hand ratings over and invent none.

A chunk is judged set by set: keys, batches, redemptions, invitations, each in one statement.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.giving.use_cases.detect import find_suspicions_of_records
from services.ratings.giving.use_cases.rate import content_hash, new_rating, store_ratings
from services.ratings.invitations.credentials.find import Credential, believe
from services.ratings.invitations.credentials.printed_token import (
    REDEEM,
    batch_of,
    number_in,
    unbound,
)
from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.keys import TokenBatch
from services.ratings.invitations.model.tokens import (
    Token,
    batch_subject,
    claim_subject,
    end_of,
    invitation_claims,
    token_hash,
)
from services.ratings.invitations.queries import invitations as invitation_queries
from services.ratings.invitations.queries import tokens
from services.ratings.invitations.use_cases.invite import CLOSING, Invited, store_invitations
from services.ratings.invitations.use_cases.keys import get_signer
from services.ratings.rating import queries as rating_queries
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.schemas import RatingRecord
from services.ratings.settings import Rules
from shared.database import audit
from shared.domain.workdays import Moment
from shared.errors import ProblemError
from shared.events.exchange import RecordReceived
from shared.events.ratings import RatingRecordsJudged
from shared.events.records import Fault, Verdict, faults_of
from shared.messaging import outbox
from shared.security.crypto import open_sealed

FIELDS = frozenset(RatingRecord.model_fields)


@dataclass(slots=True)
class Row:
    """One record on its way: what is wrong with it, else what it will rate."""

    number: int
    record: RatingRecord | None = None
    token: Token | None = None
    batch: TokenBatch | None = None
    place: int = 0
    subject: UUID | None = None
    target: UUID | None = None
    faults: tuple[Fault, ...] = ()
    unchanged: bool = False

    def refuse(self, field: str, rule: str, message: str) -> None:
        self.faults = (*self.faults, Fault(field=field, rule=rule, message=message))

    @property
    def sound(self) -> bool:
        return not self.faults and not self.unchanged

    def verdict(self) -> Verdict:
        status = "rejected" if self.faults else "unchanged" if self.unchanged else "accepted"
        key = str(self.subject) if self.subject else None
        return Verdict(row=self.number, key=key, status=status, faults=list(self.faults))


async def take_records(
    session: AsyncSession, event: RecordReceived, rules: Rules, at: Moment
) -> None:
    """Judge one chunk, store what holds, and answer with a verdict for every row."""
    records: list[Any] = open_sealed(event.records, "exchange.records")
    rows = [_read(number, record) for number, record in enumerate(records, start=event.first_row)]
    await _check_tokens(session, rows, event, at)
    known = await _cases_of(session, rows, event)
    await _redeem(session, rows, known, rules, at)
    given = await _rate(session, rows, at)
    if given:
        await find_suspicions_of_records(session, [rating for rating, _ in given])
    await store_ratings(session, given, at)
    verdicts = [row.verdict() for row in rows]
    fact = RatingRecordsJudged(
        batch_id=event.batch_id,
        chunk=event.chunk,
        verdicts=verdicts,
        revision=event.chunk + 1,
        occurred_at=at.now,
    )
    outbox.add(session, fact)
    audit.record(
        session,
        "ratings.take-records",
        "batch",
        event.batch_id,
        chunk=event.chunk,
        accepted=len(given),
    )


def _read(number: int, record: Any) -> Row:
    try:
        return Row(number, RatingRecord.model_validate(record))
    except ValidationError as error:
        row = Row(number)
        row.faults = tuple(faults_of(error, FIELDS))
        return row


def _with_record(rows: Sequence[Row]) -> Iterator[tuple[Row, RatingRecord]]:
    return ((row, row.record) for row in rows if row.sound and row.record is not None)


async def _check_tokens(
    session: AsyncSession, rows: Sequence[Row], event: RecordReceived, at: Moment
) -> None:
    """Signature, batch, department, time; and each token once in a chunk."""
    named: dict[int, UUID] = {}
    for row, record in _with_record(rows):
        try:
            row.token = await believe(session, record.token)
            named[row.number] = batch_of(row.token)
        except ProblemError as error:
            row.refuse("token", error.code, error.detail)
    found = {
        batch.id: batch
        for batch in await tokens.list_batches_by_id(session, list(set(named.values())))
    }
    seen: dict[UUID, int] = {}
    for row, record in _with_record(rows):
        assert row.token is not None
        row.batch = found.get(named[row.number])
        try:
            row.place = number_in(row.token, row.batch)
        except ProblemError as error:
            row.refuse("token", error.code, error.detail)
            continue
        assert row.batch is not None
        row.subject = batch_subject(row.batch.id, row.place)
        if (row.batch.area_code, row.batch.department_code) != (
            event.area_code,
            event.department_code,
        ):
            row.refuse("token", "token_foreign", "this token was issued to another department")
        elif (first := seen.setdefault(row.subject, row.number)) != row.number:
            row.refuse("token", "unique", f"stands in row {first} already")
        elif not row.batch.ordered_at <= record.rated_at <= at.now:
            row.refuse("rated_at", "range", "lies between the order of its batch and now")
        elif record.rated_at.timestamp() >= end_of(row.batch.expires_on):
            row.refuse("token", "token_expired", f"could be used until {row.batch.expires_on}")


async def _cases_of(
    session: AsyncSession, rows: Sequence[Row], event: RecordReceived
) -> dict[str, Invitation]:
    """The last service event of each case that a token is bound to, where the case has come already."""
    numbers = sorted({record.case_number for _, record in _with_record(rows) if record.case_number})
    found = await invitation_queries.list_of_cases(session, numbers) if numbers else ()
    known = {invitation.case_number: invitation for invitation in found}
    for row, record in _with_record(rows):
        case = known.get(record.case_number)
        if case is not None and (case.area_code, case.department_code) != (
            event.area_code,
            event.department_code,
        ):
            row.refuse("case_number", "own_case", "no such case of this department")
    return {number: invitation for number, invitation in known.items() if number}


async def _redeem(
    session: AsyncSession,
    rows: Sequence[Row],
    known: dict[str, Invitation],
    rules: Rules,
    at: Moment,
) -> None:
    """Use the tokens up, and make the invitations that are not there. Tokens used before keep what they rated."""
    signer = await get_signer(session, at.now)
    invited: dict[UUID, Invited] = {}
    for row, record in _with_record(rows):
        assert row.batch is not None
        if record.case_number and (case := known.get(record.case_number)):
            row.target = case.id
            continue
        one = unbound(row.batch, row.place, record.token, at.now)
        if record.case_number:
            # The case itself comes later, or never; its closing is rated now, and its own invitation meets this one. Of
            # another department's case this stays apart: nobody's invitation can be taken before it is there.
            one = _closing(one, record.case_number, signer.kid, at.after(rules.supplementary_days))
            one_token = signer.sign(invitation_claims(one.id, one.open_until))
            one = _with(one, token_hash=token_hash(one_token))
        row.target = one.id
        _ = invited.setdefault(one.id, one)
    sound = [row for row, _ in _with_record(rows)]
    if not sound:
        return
    values = {
        "subjects": [row.subject for row in sound],
        "batches": [row.batch.id for row in sound if row.batch],
        "numbers": [row.place for row in sound],
        "invitations": [row.target for row in sound],
    }
    new = set((await session.scalars(REDEEM, {**values, "now": at.now})).all())
    used = {row.subject: row for row in sound if row.subject is not None and row.subject not in new}
    for redemption in await tokens.list_redemptions(session, list(used)):
        used[redemption.subject_id].target = redemption.invitation_id
    targets = {row.target for row in sound if row.subject in new}
    _ = await store_invitations(session, [one for one in invited.values() if one.id in targets])


def _closing(one: Invited, case_number: str, kid: str, open_until: Any) -> Invited:
    subject = claim_subject((one.area_code, one.department_code), case_number)
    changes = {
        "stage": "closing",
        "service_number": CLOSING,
        "case_number": case_number,
        "visit": None,
    }
    return _with(one, id=subject, kid=kid, open_until=max(open_until, one.open_until), **changes)


def _with(one: Invited, **changes: Any) -> Invited:
    values = {name: getattr(one, name) for name in Invited.__dataclass_fields__}
    return Invited(**{**values, **changes})


async def _rate(
    session: AsyncSession, rows: Sequence[Row], at: Moment
) -> list[tuple[Rating, Invitation]]:
    """The ratings of what is not rated yet; the others are known already, or refused."""
    sound = list(_with_record(rows))
    targets = [row.target for row, _ in sound if row.target is not None]
    invitations = (
        {one.id: one for one in await invitation_queries.list_locked(session, targets)}
        if targets
        else {}
    )
    before = {
        rating.invitation_id: rating
        for rating in await rating_queries.list_ratings_of(session, targets)
    }
    given: dict[UUID, tuple[Rating, Invitation]] = {}
    for row, record in sound:
        assert row.target is not None
        first = before.get(row.target) or (given[row.target][0] if row.target in given else None)
        if first is None:
            invitation = invitations[row.target]
            credential = Credential(
                invitation, "record", invitation.case_number is not None, invitation.account_id
            )
            try:
                given[row.target] = (
                    new_rating(invitation, record, credential, record.rated_at),
                    invitation,
                )
            except ProblemError as error:
                row.faults = tuple(
                    Fault(field=fault.field, rule=fault.rule, message=fault.message)
                    for fault in error.errors
                )
        elif first.content_hash == content_hash(record):
            row.unchanged = True
        else:
            row.refuse("token", "already_rated", "this service was rated with another content")
    return list(given.values())
