"""HTTP in and out of the keys that sign access tokens."""

from fastapi import APIRouter, Response

from services.identity.schemas import JwkSet, PublicKey
from services.identity.use_cases import keys
from shared.http.dependencies import Now, Session
from shared.http.idempotency import IdempotentRoute
from shared.security.auth import Administrator

router = APIRouter(route_class=IdempotentRoute)


@router.get("/jwks")
async def get_jwks(session: Session, now: Now, response: Response) -> JwkSet:
    """The public keys of access tokens."""
    response.headers["cache-control"] = "public, max-age=5"
    published = await keys.list_keys(session, now)
    return JwkSet(keys=[PublicKey.model_validate(key) for key in published])


@router.post("/signing-keys/rotation", status_code=204)
async def rotate_keys(session: Session, _administrator: Administrator, now: Now) -> None:
    """The next key signs from now on."""
    await keys.rotate_keys(session, now)
