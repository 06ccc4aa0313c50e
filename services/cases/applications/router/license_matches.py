"""HTTP endpoint that finds e-licenses for the materials of a guide."""

from fastapi import APIRouter

from services.cases.applications.schemas import LicenseMatch, MatchLicenses
from services.cases.applications.use_cases import license_matches
from shared.http.dependencies import Now, Session
from shared.security.auth import VerifiedCitizen

router = APIRouter()


@router.post("/license-matches")
async def match_licenses(
    command: MatchLicenses, session: Session, caller: VerifiedCitizen, now: Now
) -> list[LicenseMatch]:
    """免提交: which of the caller's own licenses could meet which materials of her personal
    guide.
    """
    return await license_matches.match_licenses(session, command, caller=caller, now=now)
