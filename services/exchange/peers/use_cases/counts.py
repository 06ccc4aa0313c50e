"""Running figures: added to as things happen, never counted over tables."""

from collections import Counter
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.batches import queries
from services.exchange.peers import queries as peers_queries

Cell = tuple[str, str, str]
"""Peer, resource, measure."""

ADD = text(
    "INSERT INTO record_count (peer_code, resource, measure, value)"
    " SELECT * FROM unnest(CAST(:peers AS text[]), CAST(:resources AS text[]), CAST(:measures AS text[]),"
    " CAST(:numbers AS bigint[]))"
    " ON CONFLICT (peer_code, resource, measure) DO UPDATE SET value = record_count.value + excluded.value"
)
WHOLE = ("received", "accepted", "unchanged", "rejected", "pushed", "push_rejected")
PARTS = {"rejected": "rejected_by_rule", "push_rejected": "push_rejected_by_code"}


async def add(session: AsyncSession, changes: Counter[Cell]) -> None:
    """In one order everywhere, so that two workers cannot wait for each other in a ring."""
    cells = sorted((*cell, number) for cell, number in changes.items() if number)
    if cells:
        columns = zip(
            ("peers", "resources", "measures", "numbers"), zip(*cells, strict=True), strict=True
        )
        _ = await session.execute(ADD, {name: list(values) for name, values in columns})


async def show_figures(
    session: AsyncSession, peer_code: str | None, now: datetime
) -> list[dict[str, Any]]:
    """The figures per peer and resource, with what has no verdict yet and for how long."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for count in await peers_queries.list_counts(session, peer_code):
        empty: dict[str, Any] = {**dict.fromkeys(WHOLE, 0), **{name: {} for name in PARTS.values()}}
        row = found.setdefault((count.peer_code, count.resource), empty)
        measure, _, part = count.measure.partition(":")
        if part:
            row[PARTS[measure]][part] = count.value
        else:
            row[measure] = count.value
    oldest = await queries.list_oldest_waiting(session, peer_code)
    for (peer, resource), row in found.items():
        row |= {"peer_code": peer, "resource": resource}
        row["in_judgement"] = row["received"] - row["accepted"] - row["unchanged"] - row["rejected"]
        since = oldest.get((peer, resource))
        row["oldest_waiting_seconds"] = 0 if since is None else int((now - since).total_seconds())
    return list(found.values())
