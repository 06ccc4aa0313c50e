"""HTTP in and out of signing keys."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from services.licenses.use_cases import keys as use_cases_keys
from shared import clock
from shared.http.dependencies import ReadSession, Session
from shared.security.auth import Administrator

router = APIRouter()


class Keys(BaseModel):
    """A JWK set (RFC 7517): every key that has ever signed a licence."""

    keys: list[dict[str, Any]]


class KeyRotated(BaseModel):
    """The key that signs from now on."""

    kid: str


@router.get("/keys", response_model=Keys)
async def list_keys(session: ReadSession) -> Any:
    """The public keys under which signatures of licences are checked, also without asking us."""
    return {"keys": await use_cases_keys.list_keys(session)}


@router.post("/signing-keys/rotation", response_model=KeyRotated)
async def rotate_key(session: Session, _administrator: Administrator) -> Any:
    """A new key signs from now on; the old ones still verify."""
    return {"kid": await use_cases_keys.rotate_key(session, clock.now())}
