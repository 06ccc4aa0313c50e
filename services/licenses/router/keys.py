"""HTTP in and out of signing keys."""

from fastapi import APIRouter

from services.licenses.queries.records import list_public_keys
from services.licenses.schemas.keys import KeyRotated, Keys, PublicKey
from services.licenses.use_cases import keys
from shared.http.dependencies import Now, ReadSession, Session
from shared.security.auth import Administrator

router = APIRouter()


@router.get("/keys")
async def list_keys(session: ReadSession) -> Keys:
    """The public keys with which anybody can check signatures of licenses, also without asking."""
    published = await list_public_keys(session)
    return Keys(keys=[PublicKey.model_validate(key) for key in published])


@router.post("/signing-keys/rotation")
async def rotate_key(session: Session, _administrator: Administrator, now: Now) -> KeyRotated:
    """A new key signs from now on; the old ones still verify."""
    return KeyRotated(kid=await keys.rotate_key(session, now))
