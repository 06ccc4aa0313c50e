"""HTTP in and out of checks: nobody signs in, tries are counted."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path

from services.licenses import use_cases
from services.licenses.router.access import Address, Config, Db
from services.licenses.schemas import CheckLicense, CheckRead
from services.licenses.settings import Settings
from shared import clock
from shared.db import Database
from shared.tries import Budget

router = APIRouter(prefix="/checks")


async def _check(database: Database, settings: Settings, address: str, command: CheckLicense) -> Any:
    window = timedelta(seconds=settings.check_window_seconds)
    budget = Budget(window, settings.check_tries_per_address, settings.check_tries_per_number)
    async with database.reading() as session:
        return await use_cases.check_license(session, command, address, budget, clock.now())


@router.post("", response_model=CheckRead)
async def check_license(command: CheckLicense, database: Db, settings: Config, address: Address) -> Any:
    """Signature, issuer, validity and status of a licence, each apart, by what stands on its paper."""
    return await _check(database, settings, address, command)


@router.get("/{qr_token}", response_model=CheckRead)
async def follow_qr(
    qr_token: Annotated[str, Path(max_length=60)], database: Db, settings: Config, address: Address
) -> Any:
    """The same by the address in the QR."""
    command = CheckLicense.model_construct(qr=qr_token, identifier=None, type_code=None, number=None, code=None)
    return await _check(database, settings, address, command)
