"""HTTP in and out of what gateways ask for; not reachable from outside."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from services.identity import queries
from services.identity.schemas import RevocationFeed
from shared import clock
from shared.http.dependencies import ReadSession

router = APIRouter(prefix="/internal", include_in_schema=False)


@router.get("/revocations", response_model=RevocationFeed)
async def list_revocations(
    session: ReadSession, after: Annotated[int, Query(ge=0, le=2**62)] = 0
) -> Any:
    """Sessions that ended early and withdrawn subjects, for gateways; not reachable from outside."""
    rows = await queries.list_revocations(session, after, clock.now())
    return {
        "items": [
            {"session": row.session_id, "subject": row.subject, "at": row.at} for row in rows
        ],
        "next": str(rows[-1].position if rows else after),
    }
