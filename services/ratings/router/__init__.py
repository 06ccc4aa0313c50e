"""HTTP in and out."""

from fastapi import APIRouter

from services.ratings.router import appeals, invitations, publication, ratings, statistics, tickets, tokens

router = APIRouter(prefix="/api/v1/ratings", tags=["ratings"])
for part in (
    ratings.router,
    invitations.router,
    tokens.router,
    tickets.own,
    tickets.router,
    appeals.router,
    statistics.router,
    publication.router,
):
    router.include_router(part)
