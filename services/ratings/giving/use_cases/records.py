"""Ratings given inside private networks, as their systems send them (专网评价).

Every record has the pre-issued token that a citizen used. The token is the proof, so that a system
can hand ratings over and invent none.

A chunk of records is judged as a whole: keys, batches, redemptions and invitations are each read or
written by one statement. A row that has a fault is passed over by every later step.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import date
from typing import NamedTuple
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.giving.use_cases.rate import GivenRating, new_rating, store_ratings
from services.ratings.giving.use_cases.suspicions import find_suspicions_of_records
from services.ratings.invitations.credentials.attempt import Credential
from services.ratings.invitations.model.invitation import (
    CLOSING_NUMBER,
    Invitation,
    NewInvitation,
)
from services.ratings.invitations.model.keys import TokenBatch
from services.ratings.invitations.model.tokens import (
    BatchClaims,
    Signer,
    Token,
    batch_subject,
    claim_subject,
    end_of,
    forged,
    link_claims,
    token_hash,
)
from services.ratings.invitations.queries import invitations, tokens
from services.ratings.invitations.use_cases.batches import (
    NewRedemption,
    batch_of,
    batch_visit,
    redeem,
)
from services.ratings.invitations.use_cases.invite import store_invitations
from services.ratings.invitations.use_cases.keys import get_signer, verify_token
from services.ratings.journal import Action, Entry, Journal
from services.ratings.model_base import Office
from services.ratings.rating.model.rating import Rating, Source
from services.ratings.rating.model.service_event import Stage
from services.ratings.rating.queries import list_ratings_of
from services.ratings.rating.schemas import RatingRecord
from services.ratings.settings import Rules
from shared.domain.workdays import Moment
from shared.errors import FieldError, ProblemError
from shared.events.exchange import RecordReceived
from shared.events.ratings import RatingRecordsJudged
from shared.events.records import Fault, Verdict, faults_of
from shared.security.crypto import open_sealed

FIELDS = frozenset(RatingRecord.model_fields)


class PrintedToken(NamedTuple):
    """A verified token of a batch, not matched with its batch yet."""

    token: Token
    claims: BatchClaims


@dataclass(slots=True)
class Row:
    """One record on its way: first what was sent, then what is known about it.

    `number` counts from 1 within the whole batch of records. `subject` is the visit that the token
    stands for; `target` is the invitation that it rates: its visit, or that of a case.
    """

    number: int
    record: RatingRecord | None = None
    printed: PrintedToken | None = None
    batch: TokenBatch | None = None
    subject: UUID | None = None
    target: UUID | None = None
    faults: list[Fault] = field(default_factory=list[Fault])
    unchanged: bool = False

    def refuse(self, error: FieldError) -> None:
        message = str(error.as_dict()["message"])
        self.faults.append(Fault(field=error.field, rule=error.rule, message=message))

    def refuse_token(self, error: ProblemError) -> None:
        """Refuse the record for the reason for which its token was refused."""
        self.faults.append(Fault(field="token", rule=error.code, message=error.text()))

    def verdict(self) -> Verdict:
        key = str(self.subject) if self.subject else None
        if self.faults:
            return Verdict(row=self.number, key=key, status="rejected", faults=self.faults)
        if self.unchanged:
            return Verdict(row=self.number, key=key, status="unchanged")
        return Verdict(row=self.number, key=key, status="accepted")


class SoundRow(NamedTuple):
    """A row whose record could be read and has no fault so far."""

    row: Row
    record: RatingRecord


def _sound(rows: Sequence[Row]) -> Iterator[SoundRow]:
    for row in rows:
        if row.record is not None and not row.faults and not row.unchanged:
            yield SoundRow(row, row.record)


async def judge_records(
    session: AsyncSession, event: RecordReceived, *, rules: Rules, at: Moment
) -> None:
    """Judge one chunk, store what holds, and answer with a verdict for every row."""
    records: list[object] = open_sealed(event.records, purpose="exchange.records")
    rows = [_read(number, record) for number, record in enumerate(records, event.first_row)]
    office = Office(event.area_code, event.department_code)
    await _verify_tokens(session, rows)
    await _match_batches(session, rows, office=office, at=at)
    cases = await _find_cases(session, rows, office=office)
    await _redeem_tokens(session, rows, cases=cases, rules=rules, at=at)
    given = await _new_ratings(session, rows)
    if given:
        # Before they are stored: else each would be counted among the earlier ones.
        await find_suspicions_of_records(session, [rating for rating, _ in given])
    await store_ratings(session, given, at=at)
    await _answer(session, event, rows=rows, accepted=len(given), at=at)


async def _answer(
    session: AsyncSession, event: RecordReceived, *, rows: Sequence[Row], accepted: int, at: Moment
) -> None:
    """Tell exchange the verdict of every row."""
    judged = RatingRecordsJudged(
        batch_id=event.batch_id,
        chunk=event.chunk,
        verdicts=[row.verdict() for row in rows],
        revision=event.chunk + 1,
        occurred_at=at.now,
    )
    journal = Journal(session)
    detail = {"chunk": event.chunk, "accepted": accepted}
    journal.append(Entry(Action.JUDGE_RECORDS, event.batch_id, detail=detail), judged)
    await journal.write()


def _read(number: int, record: object) -> Row:
    try:
        return Row(number, RatingRecord.model_validate(record))
    except ValidationError as error:
        return Row(number, faults=faults_of(error, FIELDS))


async def _verify_tokens(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Every token is one of a batch that our keys signed."""
    for row, record in _sound(rows):
        try:
            token = await verify_token(session, record.token)
            if not isinstance(token.claims, BatchClaims):
                raise forged()
        except ProblemError as error:
            row.refuse_token(error)
            continue
        row.printed = PrintedToken(token, token.claims)


async def _match_batches(
    session: AsyncSession, rows: Sequence[Row], *, office: Office, at: Moment
) -> None:
    """Batch, department and time; and each token once in a chunk."""
    batches = await _find_batches(session, rows)
    first_rows: dict[UUID, int] = {}
    for row, record in _sound(rows):
        assert row.printed is not None
        token, claims = row.printed
        try:
            batch = batch_of(token, claims, batches=batches)
        except ProblemError as error:
            row.refuse_token(error)
            continue
        row.batch = batch
        row.subject = batch_subject(batch.id, claims.number)
        # The first row that has a token keeps it, also when that row is refused later.
        first_row = first_rows.setdefault(row.subject, row.number)
        if batch.office != office:
            fault = FieldError(
                "token", "token_foreign", message="this token was issued to another department"
            )
            row.refuse(fault)
        elif first_row != row.number:
            fault = FieldError(
                "token", "unique", message="stands in row {first} already", first=first_row
            )
            row.refuse(fault)
        else:
            _check_time(row, record, batch=batch, at=at)


async def _find_batches(session: AsyncSession, rows: Sequence[Row]) -> dict[UUID, TokenBatch]:
    """The batches that the tokens of the chunk name, by one statement."""
    batch_ids: set[UUID] = set()
    for row in rows:
        if row.printed is not None:
            batch_ids.add(row.printed.claims.batch_id)
    return await tokens.find_batches(session, list(batch_ids))


def _check_time(row: Row, record: RatingRecord, *, batch: TokenBatch, at: Moment) -> None:
    """The token was used while it could be, and not in the future."""
    # The clock of a private network may be wrong; suspicions compare these times.
    if not batch.ordered_at <= record.rated_at <= at.now:
        row.refuse(
            FieldError("rated_at", "range", message="lies between the order of its batch and now")
        )
    elif record.rated_at.timestamp() >= end_of(batch.expires_on):
        row.refuse(
            FieldError(
                "token",
                "token_expired",
                message="could be used until {last}",
                last=batch.expires_on,
            )
        )


async def _find_cases(
    session: AsyncSession, rows: Sequence[Row], *, office: Office
) -> dict[str, Invitation]:
    """The last service event of each case that a token is bound to, as far as it is known here."""
    numbers = {record.case_number for _, record in _sound(rows) if record.case_number}
    if not numbers:
        return {}
    # They come ordered by their service number, so the last event of a case stays.
    cases: dict[str, Invitation] = {}
    for invitation in await invitations.lock_of_cases(session, sorted(numbers)):
        assert invitation.case_number is not None
        cases[invitation.case_number] = invitation
    for row, record in _sound(rows):
        case = cases.get(record.case_number or "")
        if case is not None and case.office != office:
            row.refuse(
                FieldError("case_number", "own_case", message="no such case of this department")
            )
    return cases


async def _redeem_tokens(
    session: AsyncSession,
    rows: Sequence[Row],
    *,
    cases: Mapping[str, Invitation],
    rules: Rules,
    at: Moment,
) -> None:
    """Use the tokens up, and make the invitations that are not there.

    Tokens that were used before keep what they rated.
    """
    # One key and one day for the whole chunk.
    signer = await get_signer(session, at.now)
    open_until = at.after(rules.supplementary_days)
    new_invitations = _set_targets(rows, cases, signer=signer, open_until=open_until, at=at)
    redemptions = [_redemption_of(row) for row, _ in _sound(rows)]
    if not redemptions:
        return
    # Tokens first: only those that were not used before may make an invitation.
    redeemed = await redeem(session, redemptions, now=at.now)
    await _keep_earlier_targets(session, rows, redeemed=redeemed)
    targets: set[UUID] = set()
    for redemption in redemptions:
        if redemption.subject_id in redeemed:
            targets.add(redemption.invitation_id)
    made = [one for one in new_invitations.values() if one.id in targets]
    _ = await store_invitations(session, made)


def _set_targets(
    rows: Sequence[Row],
    cases: Mapping[str, Invitation],
    *,
    signer: Signer,
    open_until: date,
    at: Moment,
) -> dict[UUID, NewInvitation]:
    """Set what each row rates; the invitations (by id) that are to be made for it."""
    new_invitations: dict[UUID, NewInvitation] = {}
    for row, record in _sound(rows):
        case = cases.get(record.case_number or "")
        if case is not None:
            row.target = case.id
            continue
        invitation = _invitation_of(row, record, signer=signer, open_until=open_until, at=at)
        # Two tokens may name one unknown case: they share the invitation to it.
        _ = new_invitations.setdefault(invitation.id, invitation)
        row.target = invitation.id
    return new_invitations


async def _keep_earlier_targets(
    session: AsyncSession, rows: Sequence[Row], *, redeemed: AbstractSet[UUID]
) -> None:
    """Tokens that were not redeemed just now rate what they rated before."""
    used_before = {row.subject: row for row, _ in _sound(rows) if row.subject not in redeemed}
    subjects = [subject for subject in used_before if subject is not None]
    for redemption in await tokens.list_redemptions(session, subjects):
        used_before[redemption.subject_id].target = redemption.invitation_id


def _redemption_of(row: Row) -> NewRedemption:
    assert row.printed is not None
    assert row.batch is not None
    assert row.subject is not None
    assert row.target is not None
    return NewRedemption(
        subject_id=row.subject,
        batch_id=row.batch.id,
        number=row.printed.claims.number,
        invitation_id=row.target,
    )


def _invitation_of(
    row: Row, record: RatingRecord, *, signer: Signer, open_until: date, at: Moment
) -> NewInvitation:
    """The visit that the token stands for, or the closing of a case that is not known here.

    Such a case comes later, or never. Its closing is rated now, and its own invitation meets this
    one. Of another department's case this stays apart: nobody's invitation can be taken before it
    is there.
    """
    assert row.printed is not None
    assert row.batch is not None
    visit = batch_visit(row.batch, row.printed.claims.number, token=record.token, now=at.now)
    if not record.case_number:
        return visit
    closing_id = claim_subject(visit.office, record.case_number)
    # The longer of both: the printed token promises its own last day.
    until = max(open_until, visit.open_until)
    token = signer.sign(link_claims(closing_id, until))
    return replace(
        visit,
        id=closing_id,
        stage=Stage.CLOSING,
        service_number=CLOSING_NUMBER,
        case_number=record.case_number,
        visit=None,
        kid=signer.kid,
        token_hash=token_hash(token),
        open_until=until,
    )


async def _new_ratings(session: AsyncSession, rows: Sequence[Row]) -> list[GivenRating]:
    """The ratings of what is not rated yet; the other rows are known already, or refused."""
    targets = [row.target for row, _ in _sound(rows) if row.target is not None]
    if not targets:
        return []
    # Locked in one order: two chunks may rate the same cases.
    locked = await invitations.lock_invitations(session, targets)
    known = await _list_known(session, targets)
    given: list[GivenRating] = []
    for row, record in _sound(rows):
        assert row.target is not None
        before = known.get(row.target)
        if before is not None:
            _compare(row, record, before=before)
            continue
        invitation = locked[row.target]
        rating = _new_rating_of(row, record, invitation=invitation)
        if rating is not None:
            # A second record of the same service in this chunk meets the first one.
            known[row.target] = rating
            given.append(GivenRating(rating, invitation))
    return given


async def _list_known(session: AsyncSession, targets: Sequence[UUID]) -> dict[UUID, Rating]:
    """The stored ratings of these invitations, by invitation."""
    known: dict[UUID, Rating] = {}
    for rating in await list_ratings_of(session, targets):
        known[rating.invitation_id] = rating
    return known


def _compare(row: Row, record: RatingRecord, *, before: Rating) -> None:
    """Meet a rating that is there already: the same content changes nothing, another is refused."""
    if before.content_hash == record.fingerprint():
        row.unchanged = True
        return
    fault = FieldError(
        "token", "already_rated", message="this service was rated with another content"
    )
    row.refuse(fault)


def _new_rating_of(row: Row, record: RatingRecord, *, invitation: Invitation) -> Rating | None:
    """The rating of a record; None when it has faults, which the row then has."""
    credential = Credential(
        invitation,
        Source.RECORD,
        # A department knows whose case it is; a visit without a case is anonymous.
        named=invitation.case_number is not None,
        account_id=invitation.account_id,
    )
    try:
        return new_rating(credential, record, rated_at=record.rated_at)
    except ProblemError as error:
        for fault in error.errors:
            row.refuse(fault)
        return None
