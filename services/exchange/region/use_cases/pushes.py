"""数据推送: rows of the ledger that wait go to the region in numbered pushes, each until it is settled.

A push is written down with its bytes before it is sent, so that whatever dies in between, the same bytes go again under the
same number, and the next number only when this one is acknowledged.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import Peer
from services.exchange.peers.use_cases import counts
from services.exchange.region.model.ledger import Push
from services.exchange.region.port import Reject
from services.exchange.region.queries import ledger
from services.exchange.region.use_cases.tables import table_form
from shared.database import audit
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

SENT = text(
    "UPDATE ledger SET push_state = 'sent', push_id = :push_id, sent_seq = last_seq WHERE resource = :resource"
    " AND key = ANY (CAST(:keys AS text[]))"
)
REFUSE = text(
    "UPDATE ledger l SET push_state = 'rejected', reject_code = r.code FROM unnest(CAST(:keys AS text[]),"
    " CAST(:versions AS bigint[]), CAST(:codes AS text[])) AS r (key, version, code) WHERE l.resource = :resource"
    " AND l.key = r.key AND l.version = r.version AND l.push_id = :push_id AND l.push_state = 'sent'"
)
WAIT_AGAIN = text(
    "UPDATE ledger SET push_state = 'waiting' WHERE push_id = :push_id AND push_state = 'sent'"
)
ACCEPT = text(
    "UPDATE ledger SET push_state = 'accepted', reject_code = NULL WHERE push_id = :push_id AND push_state = 'sent'"
)


async def next_push(
    session: AsyncSession, resource: str, data_source: str, now: datetime
) -> Push | None:
    """What is to be sent now: the push that is not acknowledged yet, else the next rows that wait; None when nothing is.

    The caller has it for a minute: another process finds nothing due meanwhile.
    """
    _ = await session.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(f"push/{resource}", 0)))
    )
    push = await ledger.find_unacknowledged(session, resource)
    if push is None:
        push = await _new_push(session, resource, data_source, now)
    elif push.next_attempt_at > now:
        return None
    if push is not None:
        push.next_attempt_at = now + LEASE
    return push


async def _new_push(
    session: AsyncSession, resource: str, data_source: str, now: datetime
) -> Push | None:
    rows = await ledger.claim_waiting(session, resource, MAX_ROWS)
    if not rows:
        return None
    before = await ledger.last_push(session, resource)
    number, previous = (before.number + 1, before.digest) if before else (1, GENESIS)
    push_id = new_id()
    total = fingerprint(Entry(0, 0, row.d1 % WORD, row.d2 % WORD) for row in rows)
    body = orjson.dumps(
        {
            "cd_batch": str(push_id),
            "resource": resource,
            "number": number,
            "previous": previous.hex(),
            "fingerprint": total.as_list(),
            "tables": table_form(resource, rows, push_id, data_source, now),
        }
    )
    push = Push(
        id=push_id,
        resource=resource,
        number=number,
        rows=len(rows),
        state="sent",
        body=body,
        digest=hashlib.sha256(body).digest(),
        attempts=0,
        rejected=0,
        next_attempt_at=now,
        created_at=now,
    )
    session.add(push)
    await session.flush()
    given = {"push_id": push_id, "resource": resource, "keys": [row.key for row in rows]}
    _ = await session.execute(SENT, given)
    return push


async def acknowledge(session: AsyncSession, push_id: UUID) -> None:
    """The region has its bytes: they need not be kept."""
    push = await ledger.get_push(session, push_id)
    if push.state == "sent":
        push.state, push.body = "acknowledged", None


async def postpone(session: AsyncSession, push_id: UUID, now: datetime) -> None:
    """The region did not answer: again after a growing pause, not all at once."""
    push = await ledger.get_push(session, push_id)
    pause = PAUSES[min(push.attempts, len(PAUSES) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311 - spreads attempts, hides nothing
    push.attempts += 1
    push.next_attempt_at = now + timedelta(seconds=pause)


async def send_again(session: AsyncSession, push_id: UUID, now: datetime) -> None:
    """The region has forgotten this push: it is over, and its rows wait for another."""
    push = await ledger.get_push(session, push_id)
    if push.state == "acknowledged":
        _ = await session.execute(WAIT_AGAIN, {"push_id": push_id})
        push.state, push.settled_at = "settled", now
        audit.record(
            session, "push.send-again", "push", push_id, resource=push.resource, rows=push.rows
        )


async def settle(
    session: AsyncSession, push_id: UUID, rejects: Sequence[Reject], peer: Peer, now: datetime
) -> None:
    """The quality check has spoken: what it refused is for the bureaus, all else is there. Rows changed meanwhile wait."""
    push = await ledger.get_push(session, push_id)
    if push.state == "settled":
        return
    if rejects:
        columns: dict[str, list[Any]] = {
            "keys": [reject.key for reject in rejects],
            "versions": [reject.version for reject in rejects],
            "codes": [reject.code for reject in rejects],
        }
        _ = await session.execute(
            REFUSE, {"resource": push.resource, "push_id": push_id, **columns}
        )
    _ = await session.execute(ACCEPT, {"push_id": push_id})
    push.state, push.settled_at, push.rejected = "settled", now, len(rejects)
    place = (peer.code, push.resource)
    changes = Counter(
        {(*place, "pushed"): push.rows - len(rejects), (*place, "push_rejected"): len(rejects)}
    )
    changes.update((*place, f"push_rejected:{reject.code}") for reject in rejects)
    await counts.add(session, changes)
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
