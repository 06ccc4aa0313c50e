"""HTTP in and out of e-licences in cases."""

from typing import Any

from fastapi import APIRouter

from services.cases import use_cases
from services.cases.schemas import LicenseMatch, MatchLicenses
from shared import clock
from shared.auth import VerifiedCitizen
from shared.db import Session

router = APIRouter()


@router.post("/license-matches", response_model=list[LicenseMatch])
async def match_licenses(command: MatchLicenses, session: Session, caller: VerifiedCitizen) -> Any:
    """免提交: which of the caller's own licences could meet which materials of her personal guide."""
    return await use_cases.match_licenses(session, command, caller, clock.now())
