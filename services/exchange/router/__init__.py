"""HTTP in and out."""

from fastapi import APIRouter

from shared.idempotency import IdempotentRoute

router = APIRouter(prefix="/api/v1/exchange", tags=["exchange"], route_class=IdempotentRoute)
