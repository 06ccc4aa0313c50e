"""Whose account a licence belongs to: by the number that identity has verified, never by what somebody typed."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import License, facts_of
from services.licenses.model.records import AccountLink
from shared.database.direct import UntypedDirect
from shared.events.identity import IdentityVerified, OrganisationLinked
from shared.events.licenses import LicenseChanged
from shared.messaging import outbox
from shared.security.crypto import open_sealed, pseudonym

LICENSE: Any = License.__table__.c
_LOCK = (
    "SELECT pg_advisory_xact_lock{mode}(1818848875, stripe) FROM (SELECT DISTINCT hashtext(name) & 63 AS stripe"
    " FROM unnest(CAST(:names AS text[])) AS given (name) ORDER BY stripe) AS sorted"
)
LOCK, SHARE = UntypedDirect(_LOCK.format(mode="")), UntypedDirect(_LOCK.format(mode="_shared"))
"""1818848875: "link". In stripes, because a chunk names a thousand holders and the table of locks holds some thousands.

Sorted, so that two that lock never wait for each other.
"""


async def keep_links(
    session: AsyncSession, holders: Iterable[str], account: UUID | None = None
) -> None:
    """No link of these is made until the transaction ends; call it before links are read or licences locked.

    A licence stored on what was read could otherwise pass unseen beside the link that is made at that moment.
    """
    _ = await SHARE.fetch(session, names=[*holders, *([str(account)] if account else [])])


async def link_person(session: AsyncSession, event: IdentityVerified, now: datetime) -> None:
    """Her licences, issued or collected before, are hers from now on; what others applied for under her number too."""
    if event.holder is not None:
        holder: dict[str, str] = open_sealed(event.holder, "identity.person")
        await _link(session, pseudonym(holder["id_number"]), event.account_id, now)


async def link_organisation(
    session: AsyncSession, event: OrganisationLinked, now: datetime
) -> None:
    """The organisation's account by its USCC."""
    await _link(session, pseudonym(event.uscc), event.organisation_id, now)


async def _link(session: AsyncSession, holder: str, account_id: UUID, now: datetime) -> None:
    _ = await LOCK.fetch(session, names=[holder, str(account_id)])
    statement = insert(AccountLink).values(holder=holder, account_id=account_id)
    change = {"account_id": account_id}
    _ = await session.execute(
        statement.on_conflict_do_update(index_elements=["holder"], set_=change)
    )
    _ = await session.execute(
        delete(AccountLink).where(
            AccountLink.account_id == account_id, AccountLink.holder != holder
        )
    )
    # One account, one person: what lay with this account under another number was only typed in by it.
    hers = (LICENSE.holder == holder) & LICENSE.account_id.is_distinct_from(account_id)
    others = (LICENSE.account_id == account_id) & (LICENSE.holder != holder)
    moved = select(LICENSE.id).where(or_(hers, others)).order_by(LICENSE.id).with_for_update()
    renewed = (
        update(License.__table__)  # pyright: ignore[reportArgumentType]
        .where(LICENSE.id.in_(moved.scalar_subquery()))
        .values(
            account_id=case((LICENSE.holder == holder, account_id)),
            revision=LICENSE.revision + 1,
            changed_at=now,
        )
        .returning(*LICENSE)
    )
    rows = (await session.execute(renewed)).all()
    await outbox.add_many(
        session, [LicenseChanged(**facts_of(row, now), change="linked") for row in rows]
    )
