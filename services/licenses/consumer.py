"""Events in: decided cases, uses at intake, collected records, verified identities."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.use_cases import issue, links, uses
from services.licenses.use_cases.collect import collect_records
from shared import clock
from shared.events.cases import CaseDecided, CaseLicenseUsed, CaseReceived
from shared.events.exchange import RecordReceived
from shared.events.identity import IdentityVerified, OrganisationLinked
from shared.messaging.consumer import Consumer

consumer = Consumer("licenses", period=0.05)


@consumer.on(CaseDecided)
async def issue_for_case(session: AsyncSession, event: CaseDecided) -> None:
    await issue.issue_for_case(session, event, now=clock.now())


@consumer.on(CaseLicenseUsed)
async def log_case_use(session: AsyncSession, event: CaseLicenseUsed) -> None:
    await uses.log_case_use(session, event, now=clock.now())


@consumer.on_batch(CaseReceived)
async def count_intakes(session: AsyncSession, events: Sequence[CaseReceived]) -> None:
    await uses.count_intakes(session, events)


@consumer.on(RecordReceived)
async def collect(session: AsyncSession, event: RecordReceived) -> None:
    # Other resources are for other services.
    if event.resource == "licenses":
        await collect_records(session, event, now=clock.now())


@consumer.on(IdentityVerified)
async def link_person(session: AsyncSession, event: IdentityVerified) -> None:
    await links.link_person(session, event, now=clock.now())


@consumer.on(OrganisationLinked)
async def link_organisation(session: AsyncSession, event: OrganisationLinked) -> None:
    await links.link_organisation(session, event, now=clock.now())
