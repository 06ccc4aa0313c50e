"""HTTP in and out of cases."""

from fastapi import APIRouter

from services.cases.router import acts, bundles, calendar, files, licenses, lights

router = APIRouter(prefix="/api/v1/cases", tags=["cases"])
for part in (files.router, bundles.router, acts.router, lights.router, licenses.router, calendar.router):
    router.include_router(part)
