"""HTTP in and out of the operations on a licence by its department."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from services.licenses.queries import licenses
from services.licenses.router.access import Officer, show
from services.licenses.schemas.licenses import (
    ChangeLicense,
    EndLicense,
    LicenseRead,
    RenewLicense,
    Why,
)
from services.licenses.use_cases import acts
from shared import clock
from shared.http.dependencies import Session
from shared.http.etags import IfMatch
from shared.security.tokens import Caller

router = APIRouter(prefix="/licenses/{license_id}")


async def _shown(session: Session, license_id: UUID, officer: Caller, response: Response) -> Any:
    await session.flush()
    return show(await licenses.read_license(session, license_id), officer, response)


@router.post("/suspension", response_model=LicenseRead)
async def suspend_license(
    license_id: UUID,
    command: Why,
    session: Session,
    officer: Officer,
    expected: IfMatch,
    response: Response,
) -> Any:
    """暂扣: no evidence until it is given back."""
    await acts.suspend_license(session, license_id, command, expected, officer, clock.now())
    return await _shown(session, license_id, officer, response)


@router.post("/release", response_model=LicenseRead)
async def release_license(
    license_id: UUID,
    command: Why,
    session: Session,
    officer: Officer,
    expected: IfMatch,
    response: Response,
) -> Any:
    """暂扣发还."""
    await acts.release_license(session, license_id, command, expected, officer, clock.now())
    return await _shown(session, license_id, officer, response)


@router.post("/revocation", response_model=LicenseRead)
async def end_license(
    license_id: UUID,
    command: EndLicense,
    session: Session,
    officer: Officer,
    expected: IfMatch,
    response: Response,
) -> Any:
    """撤销, 注销 or 吊销: for good."""
    await acts.end_license(session, license_id, command, expected, officer, clock.now())
    return await _shown(session, license_id, officer, response)


@router.post("/transfer", response_model=LicenseRead)
async def transfer_license(
    license_id: UUID,
    command: Why,
    session: Session,
    officer: Officer,
    expected: IfMatch,
    response: Response,
) -> Any:
    """转出 to another place."""
    await acts.transfer_license(session, license_id, command, expected, officer, clock.now())
    return await _shown(session, license_id, officer, response)


@router.post("/change", response_model=LicenseRead)
async def change_license(
    license_id: UUID,
    command: ChangeLicense,
    session: Session,
    officer: Officer,
    expected: IfMatch,
    response: Response,
) -> Any:
    """变更: the next version, signed anew."""
    await acts.change_license(session, license_id, command, expected, officer, clock.now())
    return await _shown(session, license_id, officer, response)


@router.post("/renewal", response_model=LicenseRead)
async def renew_license(
    license_id: UUID,
    command: RenewLicense,
    session: Session,
    officer: Officer,
    expected: IfMatch,
    response: Response,
) -> Any:
    """延续: the next version, good until a later day."""
    await acts.renew_license(session, license_id, command, expected, officer, clock.now())
    return await _shown(session, license_id, officer, response)
