"""Whose account a licence belongs to: by the number that identity has verified, never by what somebody typed."""

from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model import AccountLink, License
from shared.crypto import open_sealed, pseudonym
from shared.events.identity import IdentityVerified, OrganisationLinked


async def link_person(session: AsyncSession, event: IdentityVerified) -> None:
    """Her licences, issued or collected before, are hers from now on; what others applied for under her number too."""
    if event.holder is not None:
        holder: dict[str, str] = open_sealed(event.holder, "identity.person")
        await _link(session, pseudonym(holder["id_number"]), event.account_id)


async def link_organisation(session: AsyncSession, event: OrganisationLinked) -> None:
    """The organisation's account by its USCC."""
    await _link(session, pseudonym(event.uscc), event.organisation_id)


async def _link(session: AsyncSession, holder: str, account_id: UUID) -> None:
    statement = insert(AccountLink).values(holder=holder, account_id=account_id)
    change = {"account_id": account_id}
    _ = await session.execute(statement.on_conflict_do_update(index_elements=["holder"], set_=change))
    # One account, one person: what lay with this account under another number was only typed in by it.
    other = (License.account_id == account_id) & (License.holder != holder)
    _ = await session.execute(update(License).where(other).values(account_id=None))
    _ = await session.execute(
        delete(AccountLink).where(AccountLink.account_id == account_id, AccountLink.holder != holder)
    )
    _ = await session.execute(update(License).where(License.holder == holder).values(account_id=account_id))
