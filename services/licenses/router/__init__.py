"""HTTP in and out of licences."""

from fastapi import APIRouter

from services.licenses.router import acts, checks, files, jobs, keys, types, uses

router = APIRouter(prefix="/api/v1/licenses", tags=["licenses"])
for part in (checks.router, files.router, types.router, keys.router, jobs.router, acts.router, uses.router):
    router.include_router(part)
