"""HTTP in and out of the keys that sign access tokens."""

from typing import Any

from fastapi import APIRouter, Response

from services.identity.schemas import JwkSet
from services.identity.use_cases import keys
from shared import clock
from shared.http.dependencies import Session
from shared.http.idempotency import IdempotentRoute
from shared.security.auth import Administrator

router = APIRouter(route_class=IdempotentRoute)


@router.get("/jwks", response_model=JwkSet)
async def get_jwks(session: Session, response: Response) -> Any:
    """The public keys of access tokens."""
    response.headers["cache-control"] = "public, max-age=5"
    return {"keys": await keys.list_keys(session, clock.now())}


@router.post("/signing-keys/rotation", status_code=204)
async def rotate_keys(session: Session, _administrator: Administrator) -> None:
    """The next key signs from now on."""
    await keys.rotate_keys(session, clock.now())
