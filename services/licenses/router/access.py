"""Who may do and see what."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends

from services.licenses.model.license import License
from services.licenses.queries.licenses import LicenseView, no_such_license
from services.licenses.settings import Settings
from shared.database.acts import Act
from shared.errors import ForbiddenError
from shared.http.dependencies import act_by, current_time, settings_of
from shared.security.auth import CurrentCaller, with_role, with_scope
from shared.security.tokens import Caller, CallerKind

STAFF = ("window_clerk", "approver", "leader", "delivery", "department_head")
ACTING = ("approver", "leader")

Config = Annotated[Settings, Depends(settings_of(Settings))]
Officer = Annotated[Caller, Depends(with_role(*ACTING))]
OfficerAct = Annotated[Act[datetime], Depends(act_by(with_role(*ACTING), current_time))]
"""An operation on a license of the officer's department."""
Reader = Annotated[Caller, Depends(with_role(*STAFF))]
Overseer = Annotated[Caller, Depends(with_role(*STAFF, "supervisor", "administrator"))]
System = Annotated[Caller, Depends(with_scope("licenses:read"))]


def _has_role(caller: Caller, *roles: str) -> bool:
    return caller.kind is CallerKind.STAFF and not caller.roles.isdisjoint(roles)


async def _issuer(caller: CurrentCaller) -> Caller:
    is_system = caller.kind is CallerKind.SYSTEM and "licenses:issue" in caller.scopes
    if not is_system and not _has_role(caller, *ACTING):
        raise ForbiddenError(
            "this needs an approver or leader, or a system with the scope licenses:issue"
        )
    return caller


Issuer = Annotated[Caller, Depends(_issuer)]
"""A department's officer, or a bureau's system with `licenses:issue`."""


def is_holder(license: License | LicenseView, caller: Caller) -> bool:
    """The holder in person, or whoever represents the organisation that holds it.

    A mandate (授权代办) is for matters and gives no access to licenses.
    """
    if license.account_id is None or str(license.account_id) != caller.subject:
        return False
    if caller.kind is CallerKind.ORGANISATION:
        return caller.mandate is None
    return caller.kind is CallerKind.PERSON and caller.act is None


def check_holder(license: License | LicenseView, caller: Caller) -> None:
    """The holder only.

    Raises:
        NotFoundError: for everybody else the license is not there.
    """
    if not is_holder(license, caller):
        raise no_such_license()


def check_reader(license: License | LicenseView, caller: Caller) -> None:
    """The holder, or staff of the license's own area and department.

    Raises:
        NotFoundError: for everybody else the license is not there.
    """
    if is_holder(license, caller):
        return
    own_place = (caller.area, caller.department)
    if not _has_role(caller, *STAFF) or own_place != (license.area_code, license.department_code):
        raise no_such_license()
