"""One key signs at any time, however many ask for the first one or rotate at once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from services.exchange.peers.use_cases.receipt_keys import RING as RECEIPTS
from services.ratings.invitations.use_cases.keys import RING as RATINGS
from shared import clock
from shared.database.key_ring import KeyRing, decode, encode
from shared.database.session import Database
from tests.conftest import DatabaseFactory

RINGS = [
    pytest.param(RECEIPTS, "exchange", id="plain"),
    pytest.param(RATINGS, "ratings", id="ahead"),
]


async def in_a_transaction(database: Database, act: Any) -> str:
    async with database.transaction() as session:
        return (await act(session, clock.now())).kid


async def states(database: Database, ring: KeyRing[Any]) -> dict[str, str]:
    """Key id → state, oldest first."""
    async with database.reading() as session:
        rows = await session.execute(
            select(ring.rows.kid, ring.rows.state).order_by(ring.rows.created_at, ring.rows.kid)
        )
        return {row.kid: row.state for row in rows}


@pytest.mark.parametrize(("ring", "service"), RINGS)
async def test_first_use_from_everywhere_makes_one_key(
    database_of: DatabaseFactory, ring: KeyRing[Any], service: str
) -> None:
    database = await database_of(service)

    used = await asyncio.gather(*(in_a_transaction(database, ring.current) for _ in range(8)))

    found = await states(database, ring)
    assert len(set(used)) == 1
    assert found[used[0]] == "current"
    assert sorted(found.values()) == (["current", "next"] if ring.ahead else ["current"])


@pytest.mark.parametrize(("ring", "service"), RINGS)
async def test_rotations_follow_one_another_and_keep_every_key(
    database_of: DatabaseFactory, ring: KeyRing[Any], service: str
) -> None:
    database = await database_of(service)
    first = await in_a_transaction(database, ring.current)
    ahead = next(
        (kid for kid, state in (await states(database, ring)).items() if state == "next"), None
    )

    second = await in_a_transaction(database, ring.rotate)
    others = await asyncio.gather(*(in_a_transaction(database, ring.rotate) for _ in range(4)))

    found = await states(database, ring)
    assert ahead in {None, second}
    assert len({first, second, *others}) == 6
    assert sorted(found.values()) == sorted(
        ["current", *(["next"] if ring.ahead else []), *["old"] * 5]
    )
    assert found[await in_a_transaction(database, ring.current)] == "current"


def test_text_of_any_bytes_leads_back_to_them() -> None:
    for raw in (b"", b"\xff", b"\xfb\xef", bytes(range(32))):
        assert decode(encode(raw)) == raw
        assert "=" not in encode(raw)
