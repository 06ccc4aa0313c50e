"""HTTP in and out."""

from fastapi import APIRouter

from services.ratings.router import invitations, ratings, tokens

router = APIRouter(prefix="/api/v1/ratings", tags=["ratings"])
for part in (ratings.router, invitations.router, tokens.router):
    router.include_router(part)
