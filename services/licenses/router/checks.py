"""HTTP in and out of checks: nobody signs in, attempts are limited."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from services.licenses.schemas.checks import CheckLicense, CheckRead
from services.licenses.settings import Settings
from services.licenses.use_cases import checks
from shared import clock
from shared.database.guess_limits import GuessLimit
from shared.database.session import Database
from shared.http.client_address import client_address

router = APIRouter(prefix="/checks")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a check comes from, and how many attempts it has."""

    database: Database
    address: str
    budget: GuessLimit

    async def check(self, command: CheckLicense) -> CheckRead:
        async with self.database.reading() as session:
            return await checks.check_license(
                session, command, address=self.address, budget=self.budget, now=clock.now()
            )


# One dependency for all parts: each dependency would cost half as much as the look-up itself.
async def _visitor(request: Request) -> Visitor:
    settings: Settings = request.app.state.settings
    budget = GuessLimit(
        timedelta(seconds=settings.check_window_seconds),
        settings.check_tries_per_address,
        settings.check_tries_per_number,
    )
    address = client_address(request, trust_gateway=settings.trust_gateway)
    return Visitor(request.app.state.database, address, budget)


AnyVisitor = Annotated[Visitor, Depends(_visitor)]


@router.post("")
async def check_license(command: CheckLicense, visitor: AnyVisitor) -> CheckRead:
    """Signature, issuer, validity and status of a license, each apart, by what is on its paper."""
    return await visitor.check(command)


@router.get("/{qr_token}")
async def follow_qr(
    qr_token: Annotated[str, Path(max_length=60)], visitor: AnyVisitor
) -> CheckRead:
    """The same by the address in the QR."""
    # Not validated: any text that is no token of ours is simply not found.
    command = CheckLicense.model_construct(
        qr=qr_token, identifier=None, type_code=None, number=None, code=None
    )
    return await visitor.check(command)
