"""HTTP in and out of what gateways ask for; not reachable from outside."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.identity import queries
from services.identity.schemas import RevocationEntry, RevocationFeed
from shared.http.dependencies import Now, ReadSession

router = APIRouter(prefix="/internal", include_in_schema=False)


@router.get("/revocations")
async def list_revocations(
    session: ReadSession, now: Now, after: Annotated[int, Query(ge=0, le=2**62)] = 0
) -> RevocationFeed:
    """Sessions that ended early and withdrawn subjects, for gateways."""
    entries: list[RevocationEntry] = []
    position = after
    for row in await queries.list_revocations(session, after, now=now):
        entries.append(RevocationEntry(session=row.session_id, subject=row.subject, at=row.at))
        position = row.position
    return RevocationFeed(items=entries, next=str(position))
