"""对账 as a job: compare, repair within a budget, wait until what was sent again has settled, close, sign.

Every step is one transaction that leaves the run in its next state; a step that dies is taken again.
"""

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import Peer
from services.exchange.peers.use_cases import receipt_keys
from services.exchange.region.model.ledger import LedgerRow
from services.exchange.region.model.reconciliation import Reconciliation, ReconciliationDifference
from services.exchange.region.port import Region
from services.exchange.region.queries import ledger, reconciliations
from services.exchange.region.schemas import StartReconciliation
from services.exchange.region.use_cases.compare import Comparing, Comparison, Found, total
from shared import clock
from shared.database import audit
from shared.domain.recon import stream
from shared.errors import ConflictError
from shared.ids import new_id
from shared.messaging import outbox

LEASE = timedelta(minutes=5)
"""How long a step belongs to the process that took it."""
LISTED_LEASE = timedelta(minutes=20)
"""Lists of every row take longer (`queries.ledger.window_digests` has 15 minutes)."""
SLICE = 500
"""Rows that are sent again at once; the caller waits a second between two."""
SETTLE_WITHIN = timedelta(minutes=10)
WINDOWS_SETTLE_WITHIN = timedelta(hours=2)
LOOK_AGAIN = timedelta(seconds=2)
MAX_REPAIRS, REPAIR_SHARE, ALWAYS_ALLOWED = 5_000, 100, 20
"""More than 5,000 rows, or one in a hundred (of small windows: 20), needs a person."""
MAX_FAILURES = 5

RESEND = text(
    "UPDATE ledger SET push_state = 'waiting' WHERE resource = :resource AND key = ANY (CAST(:keys AS text[]))"
    " AND push_state = 'accepted'"
)
REPUSH = text(
    "UPDATE ledger SET push_state = 'waiting' WHERE resource = :resource AND day = ANY (CAST(:days AS date[]))"
    " AND push_state = 'accepted'"
)
KEEP = text(
    "INSERT INTO reconciliation_difference (run_id, key, day, kind, cause, our_version, peer_version, remedy, owner, due_on,"
    " state, residual)"
    " SELECT :run_id, d->>'key', CAST(d->>'day' AS date), d->>'kind', d->>'cause', CAST(d->>'our_version' AS bigint),"
    " CAST(d->>'peer_version' AS bigint), d->>'remedy', d->>'owner', :due_on, :state, :residual"
    " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS d"
    " ON CONFLICT (run_id, key) DO UPDATE SET residual = excluded.residual, cause = excluded.cause,"
    " remedy = excluded.remedy, owner = excluded.owner"
)
NOT_SETTLED = text(
    "UPDATE reconciliation_difference d SET residual = true, cause = 'in_flight', remedy = 'resend', owner = 'exchange'"
    " FROM ledger l WHERE d.run_id = :run_id"
    " AND l.resource = :resource AND l.key = d.key AND l.push_state IN ('waiting', 'sent')"
)
"""On its way again and not settled in time: left out of the comparison, so that nothing is proved of it yet."""


Present = Callable[[str, list[str]], Awaitable[dict[str, int]]]
"""Resource and keys → the versions that the ledger has now, beyond the snapshot of the comparison."""


async def start(
    session: AsyncSession, command: StartReconciliation, peer_code: str, actor: str, now: datetime
) -> Reconciliation:
    """Ask for a reconciliation; the worker takes it up."""
    days = (command.first_day, command.last_day)
    run = new_run(command.resource, *days, peer_code, actor, now, listed=command.listed)
    session.add(run)
    audit.record(session, "reconciliation.start", "reconciliation", run.id, resource=run.resource)
    return run


def new_run(
    resource: str,
    first: date,
    last: date,
    peer_code: str,
    actor: str,
    now: datetime,
    *,
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
        state="queued",
        requested_by=actor,
        progress={},
        created_at=now,
        next_step_at=now,
    )


async def approve(session: AsyncSession, run_id: UUID, actor: str, now: datetime) -> Reconciliation:
    """A person lets a repair beyond the budget go on."""
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    if run.state != "needs_approval":
        raise ConflictError(f"nothing to approve: the reconciliation is {run.state}")
    run.state, run.approved_by, run.next_step_at = "repairing", actor, now
    audit.record(session, "reconciliation.approve", "reconciliation", run.id)
    return run


async def claim_step(session: AsyncSession, now: datetime) -> tuple[UUID, str] | None:
    """The next run with something to do, ours for some minutes."""
    run = await reconciliations.claim_due(session, now)
    if run is None:
        return None
    run.next_step_at = now + (LISTED_LEASE if run.listed else LEASE)
    return run.id, run.state


async def compare(
    session: AsyncSession, region: Region, run_id: UUID, ticket_days: int, now: datetime
) -> None:
    """First step, in one snapshot: what differs is written down, and whether it may be repaired without a person."""
    run = await reconciliations.get_reconciliation(session, run_id)
    comparison = await _compare(session, region, run)
    run.cut, run.next_step_at = comparison.cut, now
    kinds = Counter(found.kind.value for found in comparison.found)
    run.progress = {
        "before": comparison.totals(),
        "open": comparison.open,
        "rounds": comparison.rounds,
        "differences": dict(kinds),
    }
    if run.only_windows:
        _finish_windows(session, run, comparison, now)
        return
    await _keep(session, run, comparison.found, ticket_days, now, state="found", residual=False)
    repairs = sum(found.remedy == "resend" for found in comparison.found)
    allowed = min(MAX_REPAIRS, max(ALWAYS_ALLOWED, comparison.rows // REPAIR_SHARE))
    run.state = "needs_approval" if repairs > allowed else "repairing"


async def _compare(session: AsyncSession, region: Region, run: Reconciliation) -> Comparison:
    comparing = Comparing(session, region, run.id, run.resource, run.peer_code)
    return await comparing.compare(
        run.first_day, run.last_day, only_windows=run.only_windows, listed=run.listed
    )


def _finish_windows(
    session: AsyncSession, run: Reconciliation, comparison: Comparison, now: datetime
) -> None:
    days = [day.isoformat() for (day,) in comparison.unequal]
    run.progress = {**run.progress, "unequal_days": days}
    differences = {"windows": len(days)} if days else {}
    fact = run.finish(
        equal=comparison.is_equal, differences=differences, repaired=0, residual=len(days), now=now
    )
    outbox.add(session, fact)


async def _keep(
    session: AsyncSession,
    run: Reconciliation,
    found: Sequence[Found],
    ticket_days: int,
    now: datetime,
    *,
    state: str,
    residual: bool,
) -> None:
    if found:
        due_on = clock.local_date(now) + timedelta(days=ticket_days)
        rows = orjson.dumps([one._asdict() for one in found]).decode()
        given = {
            "run_id": run.id,
            "rows": rows,
            "due_on": due_on,
            "state": state,
            "residual": residual,
        }
        _ = await session.execute(KEEP, given)


async def ask_to_push_windows(
    session: AsyncSession, run_id: UUID, days: list[str], now: datetime
) -> None:
    """Too much differs to be listed: a person decides whether these windows are pushed again as a whole."""
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    if "push_windows" in run.progress:
        _fail(
            session,
            run,
            "the windows were pushed again and still differ too much to be listed",
            now,
        )
        return
    run.state, run.next_step_at = "needs_approval", now
    run.progress = {**run.progress, "push_windows": days}


async def _push_windows(session: AsyncSession, run: Reconciliation, now: datetime) -> None:
    days = [date.fromisoformat(day) for day in run.progress["push_windows"]]
    _ = await session.execute(REPUSH, {"resource": run.resource, "days": days})
    run.state, run.next_step_at = "waiting", now
    run.progress = {**run.progress, "wait_until": (now + WINDOWS_SETTLE_WITHIN).isoformat()}


async def repair(session: AsyncSession, run_id: UUID, now: datetime) -> bool:
    """Send a slice again, hand over the tickets; whether there is more. Nothing is sent twice after a crash."""
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    if "push_windows" in run.progress:
        await _push_windows(session, run, now)
        return False
    found = await reconciliations.list_found(session, run.id, SLICE)
    current = await ledger.read_rows(session, run.resource, [one.key for one in found])
    for one in found:
        _look_again(one, current.get(one.key))
    resend = [one.key for one in found if one.remedy == "resend"]
    if resend:
        _ = await session.execute(RESEND, {"resource": run.resource, "keys": resend})
    for one in found:
        one.state = "done"
    if len(found) == SLICE:
        run.next_step_at = now + LEASE
        return True
    run.state, run.next_step_at = "waiting", now
    run.progress = {**run.progress, "wait_until": (now + SETTLE_WITHIN).isoformat()}
    return False


def _look_again(one: ReconciliationDifference, row: LedgerRow | None) -> None:
    """A key that changed after our snapshot was on its way while the sides were compared: no ticket for that."""
    if row is not None and row.version != one.our_version:
        one.cause, one.remedy, one.owner = "in_flight", "resend", "exchange"


async def _without_accusing(comparison: Comparison, resource: str, present: Present) -> None:
    """What changed here while the sides were compared is on its way: nobody has written it elsewhere."""
    versions = await present(resource, [found.key for found in comparison.found])
    comparison.found = [
        found
        if versions.get(found.key) == found.our_version
        else found._replace(cause="in_flight", remedy="resend", owner="exchange")
        for found in comparison.found
    ]


async def wait(session: AsyncSession, run_id: UUID, now: datetime) -> None:
    """Until all that was sent again has settled, or for ten minutes."""
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    keys = await reconciliations.keys_of(session, run.id, remedy="resend")
    flying = await ledger.count_flying(session, run.resource, keys)
    if days := [date.fromisoformat(day) for day in run.progress.get("push_windows", ())]:
        flying += len(await ledger.list_in_flight(session, run.resource, days[0], days[-1]))
    if flying == 0 or now >= datetime.fromisoformat(run.progress["wait_until"]):
        run.state, run.next_step_at = "closing", now
    else:
        run.next_step_at = now + LOOK_AGAIN


async def close(
    session: AsyncSession,
    region: Region,
    run_id: UUID,
    ticket_days: int,
    now: datetime,
    present: Present,
) -> None:
    """Compare anew under a fresh cut: equal, or each key that is left has its cause, owner and day. Then the statement."""
    run = await reconciliations.get_reconciliation(session, run_id)
    comparison = await _compare(session, region, run)
    await _without_accusing(comparison, run.resource, present)
    # What a run after a crash finds again overwrites what it had found.
    clean = (
        update(ReconciliationDifference)
        .where(ReconciliationDifference.run_id == run.id)
        .values(residual=False)
    )
    _ = await session.execute(clean)
    await _keep(session, run, comparison.found, ticket_days, now, state="done", residual=True)
    _ = await session.execute(NOT_SETTLED, {"run_id": run.id, "resource": run.resource})
    residuals = await reconciliations.list_residuals(session, run.id)
    run.cut = comparison.cut
    run.progress = {
        **run.progress,
        "after": comparison.totals(),
        "differences": dict(await reconciliations.count_kinds(session, run.id)),
        "repaired": await reconciliations.count_repaired(session, run.id),
        "residual": len(residuals),
    }
    run.equal = comparison.is_equal and not residuals
    document = _statement(run, comparison, residuals)
    run.statement = await receipt_keys.sign(session, "tongban-statement", document, now)
    run.state, run.next_step_at = "signing", now


def _statement(
    run: Reconciliation, comparison: Comparison, residuals: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "protocol": "recon/1",
        "run_id": str(run.id),
        "peer_code": run.peer_code,
        "stream": stream(run.resource),
        "first_day": run.first_day.isoformat(),
        "last_day": run.last_day.isoformat(),
        "cut": comparison.cut,
        "open": comparison.open,
        "fingerprint": total(comparison.ours).as_list(),
        "before": run.progress.get("before"),
        "after": run.progress["after"],
        "unequal_days": [day.isoformat() for (day,) in comparison.unequal],
        "differences": run.progress["differences"],
        "repaired": run.progress["repaired"],
        "residuals": residuals,
        "equal": run.equal,
        **({"list_sha256": comparison.lists()["ours"]} if run.listed else {}),
    }


async def read_statement(session: AsyncSession, run_id: UUID) -> bytes:
    """What the peer has still to sign."""
    statement = (await reconciliations.get_reconciliation(session, run_id)).statement
    assert statement is not None, "a run is signed after it was closed"
    return statement


async def finish(
    session: AsyncSession, run_id: UUID, peer: Peer, peer_statement: bytes, now: datetime
) -> None:
    """The peer has signed the same statement with a key that is pinned here; ValueError when it has not."""
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    if run.state != "signing" or run.statement is None:
        return
    signed = receipt_keys.read_signed(peer_statement, peer.valid_keys)
    expected = {
        "run_id": str(run.id),
        "statement_sha256": hashlib.sha256(run.statement).hexdigest(),
        "fingerprint": run.progress["after"]["peer"],
        **({"list_sha256": run.progress["after"]["list"]["peer"]} if run.listed else {}),
    }
    if {name: signed.get(name) for name in expected} != expected:
        raise ValueError("the peer has signed something else")
    run.peer_statement = peer_statement
    fact = run.finish(
        equal=bool(run.equal),
        differences=run.progress["differences"],
        repaired=run.progress["repaired"],
        residual=run.progress["residual"],
        now=now,
    )
    outbox.add(session, fact)


async def put_off(session: AsyncSession, run_id: UUID, cause: str, now: datetime) -> None:
    """A step failed because of the other side: again in a while, a few times."""
    run = await reconciliations.get_reconciliation(session, run_id, for_update=True)
    failures = run.progress.get("failures", 0) + 1
    run.progress = {**run.progress, "failures": failures}
    run.next_step_at = now + timedelta(seconds=30 * failures)
    if failures >= MAX_FAILURES:
        _fail(session, run, cause, now)


def _fail(session: AsyncSession, run: Reconciliation, cause: str, now: datetime) -> None:
    run.state, run.failure, run.finished_at = "failed", cause, now
    audit.record(session, "reconciliation.fail", "reconciliation", run.id, reason=cause)
