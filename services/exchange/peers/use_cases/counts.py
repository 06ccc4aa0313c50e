"""Running figures: added to as things happen, never counted over tables."""

from collections import Counter

from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.direct import command

Cell = tuple[str, str, str]
"""Peer, resource, measure."""

ADD = command(
    "INSERT INTO record_count (peer_code, resource, measure, value)"
    " SELECT * FROM unnest(CAST(:peers AS text[]), CAST(:resources AS text[]),"
    "  CAST(:measures AS text[]), CAST(:numbers AS bigint[]))"
    " ON CONFLICT (peer_code, resource, measure)"
    "  DO UPDATE SET value = record_count.value + excluded.value"
)


async def add(session: AsyncSession, changes: Counter[Cell]) -> None:
    """Add to the figures, in one statement."""
    peers: list[str] = []
    resources: list[str] = []
    measures: list[str] = []
    numbers: list[int] = []
    # In one order everywhere, so that two workers never wait for each other's rows.
    for cell in sorted(changes):
        if changes[cell] == 0:
            continue
        peer, resource, measure = cell
        peers.append(peer)
        resources.append(resource)
        measures.append(measure)
        numbers.append(changes[cell])
    if peers:
        await ADD.execute(
            session, peers=peers, resources=resources, measures=measures, numbers=numbers
        )
