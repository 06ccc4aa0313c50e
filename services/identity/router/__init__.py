"""HTTP in and out of identity."""

from fastapi import APIRouter

from services.identity.router import (
    account,
    development,
    keys,
    mandates,
    organisations,
    sessions,
    sign_in,
    staff,
    systems,
)
from services.identity.router.internal import router as internal

__all__ = ["internal", "router"]

router = APIRouter(prefix="/api/v1/identity", tags=["identity"])
for part in (sign_in, sessions, account, organisations, mandates, staff, systems, keys, development):
    router.include_router(part.router)
