"""Reconciliations (对账) as a job: compare, repair within a budget, wait, close, sign.

After a repair the run waits until what was sent again has settled. Every step is one transaction
that leaves the run in its next state; a step that dies is taken again.
"""

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from typing import NotRequired, TypedDict
from uuid import UUID

import orjson
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import Peer
from services.exchange.peers.use_cases import receipt_keys
from services.exchange.region.model.ledger import LedgerResource, LedgerRow
from services.exchange.region.model.reconciliation import (
    Cause,
    Difference,
    DifferenceState,
    FingerprintList,
    Progress,
    Reconciliation,
    ReconciliationDifference,
    Remedy,
    RunState,
    Totals,
)
from services.exchange.region.port import Region
from services.exchange.region.queries import ledger, reconciliations
from services.exchange.region.schemas import StartReconciliation
from services.exchange.region.use_cases.audit_trail import record_on_run
from services.exchange.region.use_cases.compare import (
    EXCHANGE,
    Comparing,
    Comparison,
    Found,
    total,
)
from shared import clock
from shared.database.columns import stored
from shared.database.direct import command
from shared.domain.recon import stream
from shared.errors import ConflictError
from shared.ids import new_id
from shared.messaging import outbox

LEASE = timedelta(minutes=5)
"""How long a step belongs to the process that took it."""
LISTED_LEASE = timedelta(minutes=20)
"""Lists of every row take longer (`queries.ledger.window_digests` has 15 minutes)."""
SLICE = 500
"""Rows that are sent again at once; the caller waits a second between two slices."""
SETTLE_WITHIN = timedelta(minutes=10)
WINDOWS_SETTLE_WITHIN = timedelta(hours=2)
POLL = timedelta(seconds=2)
"""How often a waiting run looks whether everything has settled."""
# More than 5,000 rows, or one in a hundred (of small windows: 20), needs a person.
MAX_REPAIRS = 5_000
REPAIR_SHARE = 100
ALWAYS_ALLOWED = 20
MAX_FAILURES = 5


class Residual(TypedDict):
    """A key that still differs, as the statement names it."""

    key: str
    kind: Difference
    cause: str
    owner: str
    due_on: str


class Statement(TypedDict):
    """The statement (对账单) that both sides sign."""

    protocol: str
    run_id: str
    peer_code: str
    stream: str
    first_day: str
    last_day: str
    cut: int
    open: int
    fingerprint: FingerprintList
    before: object
    after: object
    unequal_days: list[str]
    differences: dict[str, int]
    repaired: int
    residuals: list[Residual]
    equal: bool
    list_sha256: NotRequired[str]


RESEND = command(
    "UPDATE ledger SET push_state = 'waiting'"
    " WHERE resource = :resource AND key = ANY (CAST(:keys AS text[]))"
    " AND push_state = 'accepted'"
)
PUSH_DAYS_AGAIN = command(
    "UPDATE ledger SET push_state = 'waiting'"
    " WHERE resource = :resource AND day = ANY (CAST(:days AS date[]))"
    " AND push_state = 'accepted'"
)
# A step that is taken again after a crash overwrites what it had found.
UPSERT_DIFFERENCES = command(
    "INSERT INTO reconciliation_difference (run_id, key, day, kind, cause, our_version,"
    "  peer_version, remedy, owner, due_on, state, residual)"
    " SELECT CAST(:run_id AS uuid), d->>'key', CAST(d->>'day' AS date), d->>'kind', d->>'cause',"
    "  CAST(d->>'our_version' AS bigint), CAST(d->>'peer_version' AS bigint), d->>'remedy',"
    "  d->>'owner', CAST(:due_on AS date), CAST(:state AS text), CAST(:residual AS boolean)"
    " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS d"
    " ON CONFLICT (run_id, key) DO UPDATE SET residual = excluded.residual,"
    "  cause = excluded.cause, remedy = excluded.remedy, owner = excluded.owner"
)
# On its way again and not settled in time: it was left out of the comparison, so that nothing is
# proved of it yet.
MARK_NOT_SETTLED = command(
    "UPDATE reconciliation_difference d SET residual = true, cause = 'in_flight',"
    "  remedy = 'resend', owner = 'exchange'"
    " FROM ledger l WHERE d.run_id = :run_id AND l.resource = :resource AND l.key = d.key"
    " AND l.push_state IN ('waiting', 'sent')"
)

Present = Callable[[LedgerResource, list[str]], Awaitable[dict[str, int]]]
"""Resource and keys → the versions that the ledger has now, outside the comparison's snapshot."""


async def start(
    session: AsyncSession,
    command: StartReconciliation,
    *,
    peer_code: str,
    actor: str,
    now: datetime,
) -> Reconciliation:
    """Ask for a reconciliation; the worker takes its steps."""
    run = new_run(
        command.resource,
        first=command.first_day,
        last=command.last_day,
        peer_code=peer_code,
        actor=actor,
        now=now,
        listed=command.listed,
    )
    session.add(run)
    record_on_run(session, "reconciliation.start", run=run, resource=run.resource)
    return run


def new_run(
    resource: LedgerResource,
    *,
    first: date,
    last: date,
    peer_code: str,
    actor: str,
    now: datetime,
    only_windows: bool = False,
    listed: bool = False,
) -> Reconciliation:
    return Reconciliation(
        id=new_id(),
        peer_code=peer_code,
        resource=resource,
        first_day=first,
        last_day=last,
        only_windows=only_windows,
        listed=listed,
        state=RunState.QUEUED,
        requested_by=actor,
        progress=Progress(),
        created_at=now,
        next_step_at=now,
    )


async def approve(
    session: AsyncSession, run_id: UUID, *, actor: str, now: datetime
) -> Reconciliation:
    """A person lets a repair beyond the budget go on.

    Raises `ConflictError` when the run does not wait for that.
    """
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    if run.state != RunState.NEEDS_APPROVAL:
        raise ConflictError("nothing to approve: the reconciliation is {state}", state=run.state)
    run.approved_by = actor
    run.go_on(RunState.REPAIRING, now=now)
    record_on_run(session, "reconciliation.approve", run=run)
    return run


async def claim_step(session: AsyncSession, now: datetime) -> tuple[UUID, RunState] | None:
    """The next run whose step is due, which is ours for some minutes, and its state."""
    run = await reconciliations.claim_due(session, now)
    if run is None:
        return None
    lease = LISTED_LEASE if run.listed else LEASE
    # When this process dies, another one takes the step again after the lease.
    run.next_step_at = now + lease
    return run.id, run.state


async def compare(
    session: AsyncSession, region: Region, *, run_id: UUID, ticket_days: int, now: datetime
) -> None:
    """First step, in one snapshot: write down what differs.

    And decide whether it may be repaired without a person.
    """
    run = await reconciliations.get_reconciliation(session, run_id)
    comparison = await _compare(session, region, run=run)
    run.cut = comparison.cut
    run.next_step_at = now
    run.progress = Progress(
        before=comparison.totals(),
        open=comparison.open,
        rounds=comparison.rounds,
        differences=dict(Counter(found.kind.value for found in comparison.found)),
    )
    if run.only_windows:
        _finish_windows(session, run, comparison=comparison, now=now)
        return
    await _upsert_differences(
        session,
        run,
        found=comparison.found,
        state=DifferenceState.FOUND,
        residual=False,
        due_on=_due_on(now, ticket_days),
    )
    run.state = RunState.REPAIRING
    if _is_beyond_budget(comparison):
        run.state = RunState.NEEDS_APPROVAL


def _is_beyond_budget(comparison: Comparison) -> bool:
    """Whether so much differs that a person has to approve the repair."""
    repairs = [found for found in comparison.found if found.remedy == Remedy.RESEND]
    allowed = min(MAX_REPAIRS, max(ALWAYS_ALLOWED, comparison.rows // REPAIR_SHARE))
    return len(repairs) > allowed


async def _compare(session: AsyncSession, region: Region, *, run: Reconciliation) -> Comparison:
    comparing = Comparing(
        session, region, run_id=run.id, resource=run.resource, peer_code=run.peer_code
    )
    return await comparing.compare(
        run.first_day, last=run.last_day, only_windows=run.only_windows, listed=run.listed
    )


def _finish_windows(
    session: AsyncSession, run: Reconciliation, *, comparison: Comparison, now: datetime
) -> None:
    """A run that compares only windows is over at once; nothing is repaired."""
    days = comparison.unequal_days
    progress = run.copy_progress()
    progress.unequal_days = days
    run.progress = progress
    differences: dict[str, int] = {}
    if days:
        differences["windows"] = len(days)
    fact = run.finish(
        equal=comparison.is_equal, differences=differences, repaired=0, residual=len(days), now=now
    )
    outbox.add(session, fact)


def _due_on(now: datetime, ticket_days: int) -> date:
    """The day until which the owner of a difference has to clear it up."""
    return clock.local_date(now) + timedelta(days=ticket_days)


async def _upsert_differences(
    session: AsyncSession,
    run: Reconciliation,
    *,
    found: Sequence[Found],
    state: DifferenceState,
    residual: bool,
    due_on: date,
) -> None:
    if not found:
        return
    rows = orjson.dumps([one._asdict() for one in found]).decode()
    await UPSERT_DIFFERENCES.execute(
        session, run_id=run.id, rows=rows, due_on=due_on, state=state, residual=residual
    )


async def ask_to_push_windows(
    session: AsyncSession, run_id: UUID, *, days: list[str], now: datetime
) -> None:
    """Too much differs to be listed.

    A person decides whether these windows are pushed again as a whole.
    """
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    if run.progress.push_windows is not None:
        cause = "the windows were pushed again and still differ too much to be listed"
        _fail(session, run, cause=cause, now=now)
        return
    run.go_on(RunState.NEEDS_APPROVAL, now=now)
    progress = run.copy_progress()
    progress.push_windows = days
    run.progress = progress


async def repair(session: AsyncSession, run_id: UUID, *, now: datetime) -> bool:
    """Send a slice again and hand over the tickets; whether there is more.

    Nothing is sent twice after a crash.
    """
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    if run.progress.push_windows is not None:
        await PUSH_DAYS_AGAIN.execute(
            session, resource=run.resource, days=_dates(run.progress.push_windows)
        )
        _wait_for_pushes(run, until=now + WINDOWS_SETTLE_WITHIN, now=now)
        return False
    found = await reconciliations.list_found(session, run.id, limit=SLICE)
    await _check_versions(session, run, found=found)
    resend = [one.key for one in found if one.remedy == Remedy.RESEND]
    if resend:
        await RESEND.execute(session, resource=run.resource, keys=resend)
    for one in found:
        one.state = DifferenceState.DONE
    if len(found) == SLICE:
        # The caller goes on at once; the lease is for its death.
        run.next_step_at = now + LEASE
        return True
    _wait_for_pushes(run, until=now + SETTLE_WITHIN, now=now)
    return False


def _dates(days: Sequence[str]) -> list[date]:
    return [date.fromisoformat(day) for day in days]


def _wait_for_pushes(run: Reconciliation, *, until: datetime, now: datetime) -> None:
    run.go_on(RunState.WAITING, now=now)
    progress = run.copy_progress()
    progress.wait_until = until.isoformat()
    run.progress = progress


async def _check_versions(
    session: AsyncSession,
    run: Reconciliation,
    *,
    found: Sequence[ReconciliationDifference],
) -> None:
    """A key that changed after our snapshot was on its way while the sides were compared.

    There is no ticket for that.
    """
    keys = [one.key for one in found]
    current: dict[str, LedgerRow] = await ledger.read_rows(session, run.resource, keys=keys)
    for one in found:
        row = current.get(one.key)
        if row is not None and row.version != one.our_version:
            one.cause = Cause.IN_FLIGHT
            one.remedy = Remedy.RESEND
            one.owner = EXCHANGE


async def wait(session: AsyncSession, run_id: UUID, *, now: datetime) -> None:
    """Until all that was sent again has settled, but not for ever."""
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    keys = await reconciliations.list_keys_to_resend(session, run.id)
    in_flight = await ledger.count_in_flight(session, run.resource, keys=keys)
    days = _dates(run.progress.push_windows or ())
    if days:
        open_keys = await ledger.list_in_flight(session, run.resource, first=days[0], last=days[-1])
        in_flight += len(open_keys)
    assert run.progress.wait_until is not None, "a repair says how long to wait"
    if in_flight == 0 or now >= datetime.fromisoformat(run.progress.wait_until):
        run.go_on(RunState.CLOSING, now=now)
    else:
        run.next_step_at = now + POLL


async def close(
    session: AsyncSession,
    region: Region,
    *,
    run_id: UUID,
    ticket_days: int,
    now: datetime,
    present: Present,
) -> None:
    """Compare anew under a fresh cut, and sign the statement about it.

    The sides are equal, or each key that is left has its cause, owner and day.
    """
    run = await reconciliations.get_reconciliation(session, run_id)
    comparison = await _compare(session, region, run=run)
    await _find_late_changes(comparison, resource=run.resource, present=present)
    await _write_residuals(session, run, found=comparison.found, due_on=_due_on(now, ticket_days))
    residuals = await _list_residuals(session, run)
    run.cut = comparison.cut
    run.equal = comparison.is_equal and not residuals
    await _close_progress(session, run, after=comparison.totals(), residual=len(residuals))
    document = _statement(run, comparison=comparison, residuals=residuals)
    run.statement = await receipt_keys.sign(session, document, kind="tongban-statement", now=now)
    run.go_on(RunState.SIGNING, now=now)


async def _write_residuals(
    session: AsyncSession, run: Reconciliation, *, found: Sequence[Found], due_on: date
) -> None:
    """Mark what still differs, and nothing else."""
    clean = (
        update(ReconciliationDifference)
        .where(ReconciliationDifference.run_id == run.id)
        .values(residual=False)
    )
    _ = await session.execute(clean)
    await _upsert_differences(
        session, run, found=found, state=DifferenceState.DONE, residual=True, due_on=due_on
    )
    await MARK_NOT_SETTLED.execute(session, run_id=run.id, resource=run.resource)


async def _close_progress(
    session: AsyncSession, run: Reconciliation, *, after: Totals, residual: int
) -> None:
    progress = run.copy_progress()
    progress.after = after
    progress.differences = await reconciliations.count_kinds(session, run.id)
    progress.repaired = await reconciliations.count_repaired(session, run.id)
    progress.residual = residual
    run.progress = progress


async def _find_late_changes(
    comparison: Comparison, *, resource: LedgerResource, present: Present
) -> None:
    """What changed here while the sides were compared is on its way.

    Nobody else has written it.
    """
    versions = await present(resource, [found.key for found in comparison.found])
    checked: list[Found] = []
    for found in comparison.found:
        if versions.get(found.key) == found.our_version:
            checked.append(found)
        else:
            checked.append(found.in_flight())
    comparison.found = checked


async def _list_residuals(session: AsyncSession, run: Reconciliation) -> list[Residual]:
    residuals: list[Residual] = []
    for row in await reconciliations.list_residuals(session, run.id):
        residual = Residual(
            key=row.key,
            kind=row.kind,
            cause=row.cause,
            owner=row.owner,
            due_on=row.due_on.isoformat(),
        )
        residuals.append(residual)
    return residuals


def _statement(
    run: Reconciliation, *, comparison: Comparison, residuals: list[Residual]
) -> Statement:
    progress = run.progress
    assert progress.after is not None, "the run was closed"
    before: object = None
    if progress.before is not None:
        before = stored(progress.before)
    statement = Statement(
        protocol="recon/1",
        run_id=str(run.id),
        peer_code=run.peer_code,
        stream=stream(run.resource),
        first_day=run.first_day.isoformat(),
        last_day=run.last_day.isoformat(),
        cut=comparison.cut,
        open=comparison.open,
        fingerprint=total(comparison.ours).as_list(),
        before=before,
        after=stored(progress.after),
        unequal_days=comparison.unequal_days,
        differences=progress.differences or {},
        repaired=progress.repaired or 0,
        residuals=residuals,
        equal=bool(run.equal),
    )
    if run.listed:
        statement["list_sha256"] = comparison.lists().ours
    return statement


async def read_statement(session: AsyncSession, run_id: UUID) -> bytes:
    """What the peer has still to sign."""
    run = await reconciliations.get_reconciliation(session, run_id)
    assert run.statement is not None, "a run is signed after it was closed"
    return run.statement


async def finish(
    session: AsyncSession, run_id: UUID, *, peer: Peer, peer_statement: bytes, now: datetime
) -> None:
    """The peer has signed the same statement with a key that is registered here.

    Raises `ValueError` when it has not.
    """
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    if run.state != RunState.SIGNING or run.statement is None:
        return
    keys = [key.jwk for key in peer.valid_keys]
    signed = receipt_keys.read_signed(peer_statement, keys)
    expected = _expected_of_peer(run, run.statement)
    # The peer may sign more than this; only what was agreed counts.
    if {name: signed.get(name) for name in expected} != expected:
        raise ValueError("the peer has signed something else")
    run.peer_statement = peer_statement
    fact = run.finish(
        equal=bool(run.equal),
        differences=run.progress.differences or {},
        repaired=run.progress.repaired or 0,
        residual=run.progress.residual or 0,
        now=now,
    )
    outbox.add(session, fact)


def _expected_of_peer(run: Reconciliation, statement: bytes) -> dict[str, object]:
    """The members that the peer's signed answer must have."""
    after = run.progress.after
    assert after is not None, "the run was closed"
    expected: dict[str, object] = {
        "run_id": str(run.id),
        "statement_sha256": hashlib.sha256(statement).hexdigest(),
        "fingerprint": after.peer,
    }
    if run.listed:
        assert after.list is not None, "a listed run compares the lists"
        expected["list_sha256"] = after.list.peer
    return expected


async def put_off(session: AsyncSession, run_id: UUID, *, cause: str, now: datetime) -> None:
    """A step failed: try again in a while, a few times."""
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    failures = (run.progress.failures or 0) + 1
    progress = run.copy_progress()
    progress.failures = failures
    run.progress = progress
    run.next_step_at = now + timedelta(seconds=30 * failures)
    if failures >= MAX_FAILURES:
        _fail(session, run, cause=cause, now=now)


def _fail(session: AsyncSession, run: Reconciliation, *, cause: str, now: datetime) -> None:
    run.state = RunState.FAILED
    run.failure = cause
    run.finished_at = now
    record_on_run(session, "reconciliation.fail", run=run, reason=cause)
