"""Whose account a licence belongs to.

A change is told, and the link is right whatever happens at the same moment.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.use_cases.collect import collect_records
from services.licenses.use_cases.issue import issue_for_case
from services.licenses.use_cases.links import link_person
from shared import clock
from shared.events.identity import IdentityVerified
from tests.licenses.conftest import (
    ID_NUMBER,
    NAME,
    Office,
    a_chunk,
    a_decision,
    an_id_number,
    collected,
    sealed,
)

Work = Callable[[AsyncSession], Awaitable[None]]


def a_link(number: str = ID_NUMBER, account: Any = None) -> IdentityVerified:
    holder = sealed({"name": NAME, "id_number": number}, "identity.person")
    fact = {"level": 2, "method": "simulator", "revision": 2, "occurred_at": clock.now()}
    return IdentityVerified(account_id=account or uuid4(), holder=holder, **fact)  # pyright: ignore[reportArgumentType]


async def linked(office: Office) -> list[tuple[int, str | None]]:
    """Revision and account of what the links told."""
    told = [fact.data for fact in await office.facts() if fact.type.endswith("license-changed.v1")]
    assert {fact["change"] for fact in told} <= {"linked"}
    return [(fact["revision"], fact["account_id"]) for fact in told]


async def test_link_tells_of_every_licence_whose_account_changes_and_once(office: Office) -> None:
    stranger = uuid4()
    await office.take(a_decision(account_id=stranger))
    _ = await office.collect([collected(1, holder_id_number=ID_NUMBER), collected(2)])
    link = a_link()

    await office.take(link)
    await office.take(a_link(account=link.account_id))

    assert await linked(office) == [(2, str(link.account_id))] * 2
    rows = await office.fetch("SELECT revision, account_id FROM license ORDER BY revision")
    assert [tuple(row) for row in rows] == [(1, None)] + [(2, link.account_id)] * 2


async def test_account_that_turns_out_to_be_somebody_else_loses_what_it_typed_in(
    office: Office,
) -> None:
    account = uuid4()
    await office.take(a_decision(account_id=account))

    await office.take(a_link(an_id_number(7), account))

    assert await linked(office) == [(2, None)]


def issuing(account: Any) -> Work:
    return lambda session: issue_for_case(session, a_decision(account_id=account), now=clock.now())


def collecting(_account: Any) -> Work:
    chunk = a_chunk([collected(1, holder_id_number=ID_NUMBER)])
    return lambda session: collect_records(session, chunk, now=clock.now())


async def interleaved(office: Office, first: Work, second: Work) -> None:
    """`second` begins when `first` is done and not committed."""

    async def run() -> None:
        async with office.client.database.transaction() as session:
            await second(session)

    async with office.client.database.transaction() as session:
        await first(session)
        other = asyncio.create_task(run())
        _ = await asyncio.wait([other], timeout=0.3)
    await other


@pytest.mark.parametrize("making", [issuing, collecting])
@pytest.mark.parametrize("link_comes_first", [True, False])
async def test_licence_made_while_its_holder_is_verified_is_hers(
    office: Office, making: Callable[[Any], Work], *, link_comes_first: bool
) -> None:
    event = a_link()
    steps: list[Work] = [lambda session: link_person(session, event, now=clock.now()), making(None)]

    await interleaved(office, *(steps if link_comes_first else reversed(steps)))

    assert [row["account_id"] for row in await office.fetch("SELECT account_id FROM license")] == [
        event.account_id
    ]


@pytest.mark.parametrize("link_comes_first", [True, False])
async def test_account_that_is_verified_as_another_while_it_applies_holds_nothing(
    office: Office, *, link_comes_first: bool
) -> None:
    event = a_link(an_id_number(7))
    steps: list[Work] = [
        lambda session: link_person(session, event, now=clock.now()),
        issuing(event.account_id),
    ]

    await interleaved(office, *(steps if link_comes_first else reversed(steps)))

    assert [row["account_id"] for row in await office.fetch("SELECT account_id FROM license")] == [
        None
    ]
