"""HTTP in and out of matters."""

from fastapi import APIRouter

from services.matters.router import bundles, catalogue, supervision

router = APIRouter(prefix="/api/v1/matters", tags=["matters"])
for part in (catalogue.router, bundles.router, supervision.router):
    router.include_router(part)
