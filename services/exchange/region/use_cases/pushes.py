"""Pushes (数据推送): rows of the ledger go to the region in numbered pushes, one after the other.

A push is stored with its bytes before it is sent. So whatever dies in between, the same bytes go
again under the same number, and the next number only when this one is acknowledged.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import Peer, RecordMeasure
from services.exchange.peers.queries import advisory_lock
from services.exchange.peers.use_cases import counts
from services.exchange.region.model.ledger import LedgerResource, Push, PushState
from services.exchange.region.model.reconciliation import FingerprintList
from services.exchange.region.port import Reject
from services.exchange.region.queries import ledger
from services.exchange.region.queries.ledger import WaitingRow
from services.exchange.region.use_cases.audit_trail import record_on_push
from services.exchange.region.use_cases.tables import TableRow, table_form
from shared.database.direct import command
from shared.domain.recon import WORD, Entry, fingerprint
from shared.events.exchange import RecordsPushed
from shared.ids import new_id
from shared.messaging import outbox

MAX_ROWS = 1_000
LEASE = timedelta(seconds=60)
"""How long a push belongs to the process that sends it."""
PAUSES = (5.0, 30.0, 300.0, 1_800.0, 7_200.0)
"""Seconds before each further attempt; the last for all that follow."""
GENESIS = b"\x00" * 32
"""Digest before the first push."""


class PushBody(TypedDict):
    """A push as the region gets it, in this order."""

    cd_batch: str
    resource: LedgerResource
    number: int
    previous: str
    fingerprint: FingerprintList
    tables: dict[str, list[TableRow]]


MARK_SENT = command(
    "UPDATE ledger SET push_state = 'sent', push_id = :push_id, sent_seq = last_seq"
    " WHERE resource = :resource AND key = ANY (CAST(:keys AS text[]))"
)
# Only of the version that was sent: a refusal says nothing about a newer one.
REJECT = command(
    "UPDATE ledger l SET push_state = 'rejected', reject_code = r.code"
    " FROM unnest(CAST(:keys AS text[]), CAST(:versions AS bigint[]), CAST(:codes AS text[]))"
    "  AS r (key, version, code)"
    " WHERE l.resource = :resource AND l.key = r.key AND l.version = r.version"
    " AND l.push_id = :push_id AND l.push_state = 'sent'"
)
WAIT_AGAIN = command(
    "UPDATE ledger SET push_state = 'waiting' WHERE push_id = :push_id AND push_state = 'sent'"
)
ACCEPT = command(
    "UPDATE ledger SET push_state = 'accepted', reject_code = NULL"
    " WHERE push_id = :push_id AND push_state = 'sent'"
)


async def next_push(
    session: AsyncSession, resource: LedgerResource, *, data_source: str, now: datetime
) -> Push | None:
    """The push that is to be sent now, None when there is none.

    The one that is not acknowledged yet, else a new one of the next rows that wait. The caller has
    it for a minute: another process finds nothing due meanwhile.
    """
    # Numbers have no gaps, so that one process at a time makes the next push.
    await advisory_lock(session, f"push/{resource}")
    push = await ledger.find_unacknowledged(session, resource)
    if push is None:
        push = await _new_push(session, resource, data_source=data_source, now=now)
    elif push.next_attempt_at > now:
        return None
    if push is not None:
        push.next_attempt_at = now + LEASE
    return push


async def _new_push(
    session: AsyncSession, resource: LedgerResource, *, data_source: str, now: datetime
) -> Push | None:
    rows = await ledger.claim_waiting(session, resource, limit=MAX_ROWS)
    if not rows:
        return None
    number, previous = 1, GENESIS
    before = await ledger.find_last_push(session, resource)
    if before is not None:
        number, previous = before.number + 1, before.digest
    push_id = new_id()
    body = PushBody(
        cd_batch=str(push_id),
        resource=resource,
        number=number,
        previous=previous.hex(),
        fingerprint=_fingerprint(rows),
        tables=table_form(resource, rows, push_id=push_id, data_source=data_source, now=now),
    )
    push = _push_of(body, push_id=push_id, rows=len(rows), now=now)
    session.add(push)
    keys = [row.key for row in rows]
    await MARK_SENT.execute(session, push_id=push_id, resource=resource, keys=keys)
    return push


def _push_of(body: PushBody, *, push_id: UUID, rows: int, now: datetime) -> Push:
    content = orjson.dumps(body)
    return Push(
        id=push_id,
        resource=body["resource"],
        number=body["number"],
        rows=rows,
        state=PushState.SENT,
        body=content,
        digest=hashlib.sha256(content).digest(),
        attempts=0,
        rejected=0,
        next_attempt_at=now,
        created_at=now,
    )


def _fingerprint(rows: Sequence[WaitingRow]) -> FingerprintList:
    # The places below a day do not matter to a sum.
    return fingerprint(Entry(0, 0, row.d1 % WORD, row.d2 % WORD) for row in rows).as_list()


async def acknowledge(session: AsyncSession, push_id: UUID) -> None:
    """The region has its bytes: they need not be kept."""
    push = await ledger.get_push(session, push_id)
    if push.state == PushState.SENT:
        push.state = PushState.ACKNOWLEDGED
        # A body is kept only to be sent again, letter for letter.
        push.body = None


async def postpone(session: AsyncSession, push_id: UUID, *, now: datetime) -> None:
    """The region did not answer: try again after a growing pause, not all at once."""
    push = await ledger.get_push(session, push_id)
    pause = PAUSES[min(push.attempts, len(PAUSES) - 1)]
    pause *= random.uniform(0.8, 1.2)  # noqa: S311 - spreads attempts, hides nothing
    push.attempts += 1
    push.next_attempt_at = now + timedelta(seconds=pause)


async def send_again(session: AsyncSession, push_id: UUID, *, now: datetime) -> None:
    """The region has forgotten this push: it is over, and its rows wait for another one."""
    push = await ledger.get_push(session, push_id)
    if push.state != PushState.ACKNOWLEDGED:
        return
    await WAIT_AGAIN.execute(session, push_id=push_id)
    push.state = PushState.SETTLED
    push.settled_at = now
    record_on_push(session, "push.send-again", push=push)


async def apply_quality_check(
    session: AsyncSession,
    push_id: UUID,
    *,
    rejects: Sequence[Reject],
    peer: Peer,
    now: datetime,
) -> None:
    """The rows that the region refused are rejected, all others accepted.

    A row that was changed meanwhile waits for the next push.
    """
    push = await ledger.get_push(session, push_id)
    # The region may tell its check twice.
    if push.state == PushState.SETTLED:
        return
    if rejects:
        await REJECT.execute(
            session,
            resource=push.resource,
            push_id=push_id,
            keys=[reject.key for reject in rejects],
            versions=[reject.version for reject in rejects],
            codes=[reject.code for reject in rejects],
        )
    # All that is still marked as sent: rejected rows and changed ones have another state.
    await ACCEPT.execute(session, push_id=push_id)
    push.state = PushState.SETTLED
    push.settled_at = now
    push.rejected = len(rejects)
    await _count(session, push, rejects=rejects, peer=peer)
    fact = RecordsPushed(
        push_id=push_id,
        peer_code=peer.code,
        area_code=peer.area_code,
        department_code=peer.department_code,
        resource=push.resource,
        accepted=push.rows - len(rejects),
        rejected=len(rejects),
        revision=1,
        occurred_at=now,
    )
    outbox.add(session, fact)


async def _count(
    session: AsyncSession, push: Push, *, rejects: Sequence[Reject], peer: Peer
) -> None:
    changes = Counter[counts.Cell]()
    changes[peer.code, push.resource, RecordMeasure.PUSHED] = push.rows - len(rejects)
    changes[peer.code, push.resource, RecordMeasure.PUSH_REJECTED] = len(rejects)
    for reject in rejects:
        changes[peer.code, push.resource, f"{RecordMeasure.PUSH_REJECTED}:{reject.code}"] += 1
    await counts.add(session, changes)
