"""HTTP in and out of checks: nobody signs in, tries are counted."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from services.licenses.schemas.checks import CheckLicense, CheckRead
from services.licenses.settings import Settings
from services.licenses.use_cases import checks
from shared import clock
from shared.database.guess_limits import Budget
from shared.database.session import Database
from shared.http.client_address import client_address

router = APIRouter(prefix="/checks")


@dataclass(frozen=True, slots=True)
class Window:
    """Where a check is made: the database, from which address, and how many tries it has."""

    database: Database
    address: str
    budget: Budget

    async def check(self, command: CheckLicense) -> Any:
        async with self.database.reading() as session:
            return await checks.check_license(
                session, command, self.address, self.budget, clock.now()
            )


# One dependency, not one for each part: everybody may check, and each dependency costs half as much as the look-up.
async def _window(request: Request) -> Window:
    settings: Settings = request.app.state.settings
    budget = Budget(
        timedelta(seconds=settings.check_window_seconds),
        settings.check_tries_per_address,
        settings.check_tries_per_number,
    )
    address = client_address(request, trust_gateway=settings.trust_gateway)
    return Window(request.app.state.database, address, budget)


At = Annotated[Window, Depends(_window)]


@router.post("", response_model=CheckRead)
async def check_license(command: CheckLicense, window: At) -> Any:
    """Signature, issuer, validity and status of a licence, each apart, by what stands on its paper."""
    return await window.check(command)


@router.get("/{qr_token}", response_model=CheckRead)
async def follow_qr(qr_token: Annotated[str, Path(max_length=60)], window: At) -> Any:
    """The same by the address in the QR."""
    return await window.check(
        CheckLicense.model_construct(
            qr=qr_token, identifier=None, type_code=None, number=None, code=None
        )
    )
