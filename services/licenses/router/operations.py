"""HTTP in and out of the operations on a license by its department."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter

from services.licenses.queries import licenses
from services.licenses.router.access import OfficerAct
from services.licenses.router.views import show_license
from services.licenses.schemas.licenses import (
    ChangeLicense,
    EndLicense,
    LicenseRead,
    RenewLicense,
    Why,
)
from services.licenses.use_cases import operations
from shared.database.acts import Act

router = APIRouter(prefix="/licenses/{license_id}")


async def _show(act: Act[datetime], license_id: UUID) -> LicenseRead:
    view = await licenses.read_license(act.session, license_id)
    return show_license(view, act.caller, headers=act.headers)


@router.post("/suspension")
async def suspend_license(license_id: UUID, command: Why, act: OfficerAct) -> LicenseRead:
    """暂扣: no evidence until it is given back."""
    await operations.suspend_license(act, license_id, command=command)
    return await _show(act, license_id)


@router.post("/release")
async def release_license(license_id: UUID, command: Why, act: OfficerAct) -> LicenseRead:
    """暂扣发还."""
    await operations.release_license(act, license_id, command=command)
    return await _show(act, license_id)


@router.post("/revocation")
async def end_license(license_id: UUID, command: EndLicense, act: OfficerAct) -> LicenseRead:
    """撤销, 注销 or 吊销: for good."""
    await operations.end_license(act, license_id, command=command)
    return await _show(act, license_id)


@router.post("/transfer")
async def transfer_license(license_id: UUID, command: Why, act: OfficerAct) -> LicenseRead:
    """转出 to another place."""
    await operations.transfer_license(act, license_id, command=command)
    return await _show(act, license_id)


@router.post("/change")
async def change_license(license_id: UUID, command: ChangeLicense, act: OfficerAct) -> LicenseRead:
    """变更: the next version, signed anew."""
    await operations.change_license(act, license_id, command=command)
    return await _show(act, license_id)


@router.post("/renewal")
async def renew_license(license_id: UUID, command: RenewLicense, act: OfficerAct) -> LicenseRead:
    """延续: the next version, valid until a later day."""
    await operations.renew_license(act, license_id, command=command)
    return await _show(act, license_id)
