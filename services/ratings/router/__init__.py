"""HTTP in and out."""

from fastapi import APIRouter

from shared.idempotency import IdempotentRoute

router = APIRouter(prefix="/api/v1/ratings", tags=["ratings"], route_class=IdempotentRoute)
