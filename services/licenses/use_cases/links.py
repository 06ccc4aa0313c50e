"""Whose account a license belongs to: by the number that identity has verified, never by input."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Uuid, case, delete, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.journal import Journal
from services.licenses.model.license import License, facts_of
from services.licenses.model.records import AccountLink
from services.licenses.use_cases.bulk import update_licenses
from shared.database.direct import command
from shared.events.identity import IdentityVerified, OrganisationLinked
from shared.events.licenses import LicenseChanged
from shared.security.crypto import open_sealed, pseudonym

# Advisory locks by stripe: a chunk names a thousand holders, and PostgreSQL's table of locks holds
# only some thousands. Sorted, so that two transactions never wait for each other crosswise.
# 1818848875 is "link" in ASCII.
_LOCK = """SELECT pg_advisory_xact_lock{mode}(1818848875, stripe) FROM (
    SELECT DISTINCT hashtext(name) & 63 AS stripe
    FROM unnest(CAST(:names AS text[])) AS given (name) ORDER BY stripe
) AS sorted"""
LOCK_EXCLUSIVELY = command(_LOCK.format(mode=""))
LOCK_SHARED = command(_LOCK.format(mode="_shared"))


class SealedPerson(BaseModel):
    """What identity seals of a verified person; the name is not needed here."""

    id_number: str


async def hold_links(
    session: AsyncSession, holders: Collection[str], *, account: UUID | None = None
) -> None:
    """Keep others from linking these holders (pseudonyms) until the transaction ends.

    Call it before links are read and before licenses are locked. Otherwise a license that is
    stored with the account read earlier would miss the link made at the same moment.
    """
    names = list(holders)
    if account is not None:
        names.append(str(account))
    await LOCK_SHARED.execute(session, names=names)


async def link_person(session: AsyncSession, event: IdentityVerified, *, now: datetime) -> None:
    """Give the verified person the licenses of this ID number, and no others."""
    if event.holder is None:
        return
    person = SealedPerson.model_validate(open_sealed(event.holder, purpose="identity.person"))
    await _link(session, pseudonym(person.id_number), account_id=event.account_id, now=now)


async def link_organisation(
    session: AsyncSession, event: OrganisationLinked, *, now: datetime
) -> None:
    """Give the organisation's account the licenses of its USCC."""
    await _link(session, pseudonym(event.uscc), account_id=event.organisation_id, now=now)


async def _link(session: AsyncSession, holder: str, *, account_id: UUID, now: datetime) -> None:
    # Exclusively: whoever stores a license holds the same locks shared (`hold_links`).
    await LOCK_EXCLUSIVELY.execute(session, names=[holder, str(account_id)])
    await _replace_link(session, holder, account_id=account_id)
    gained = (License.holder == holder) & License.account_id.is_distinct_from(account_id)
    # One account is one person: other numbers of this account were only typed in when applying.
    lost = (License.account_id == account_id) & (License.holder != holder)
    moved = select(License.id).where(or_(gained, lost)).order_by(License.id).with_for_update()
    owner = case((License.holder == holder, literal(account_id, Uuid())))
    journal = Journal(now)
    for row in await update_licenses(session, moved, now=now, values={"account_id": owner}):
        journal.append_events(LicenseChanged(**facts_of(row, now), change="linked"))
    await journal.write(session)


async def _replace_link(session: AsyncSession, holder: str, *, account_id: UUID) -> None:
    new_link = insert(AccountLink).values(holder=holder, account_id=account_id)
    _ = await session.execute(
        new_link.on_conflict_do_update(index_elements=["holder"], set_={"account_id": account_id})
    )
    # One account is one person, so a former number of the account is linked no more.
    former = delete(AccountLink).where(
        AccountLink.account_id == account_id, AccountLink.holder != holder
    )
    _ = await session.execute(former)
