"""HTTP in and out of e-licences in cases."""

from typing import Any

from fastapi import APIRouter

from services.cases.applications.schemas.applications import MatchLicenses
from services.cases.applications.schemas.materials import LicenseMatch
from services.cases.applications.use_cases import license_matches
from shared import clock
from shared.http.dependencies import Session
from shared.security.auth import VerifiedCitizen

router = APIRouter()


@router.post("/license-matches", response_model=list[LicenseMatch])
async def match_licenses(command: MatchLicenses, session: Session, caller: VerifiedCitizen) -> Any:
    """免提交: which of the caller's own licences could meet which materials of her personal guide."""
    return await license_matches.match_licenses(session, command, caller, clock.now())
