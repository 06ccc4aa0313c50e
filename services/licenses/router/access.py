"""Who may do and see what, and how a licence is shown."""

from typing import Annotated, Any

import orjson
from fastapi import Depends, Request, Response

from services.licenses.model.identifiers import check_code
from services.licenses.model.license import shown_number
from services.licenses.model.states import Status, allowed
from services.licenses.model.types import TypeDocument
from services.licenses.queries import licenses
from services.licenses.schemas.licenses import LicenseRead
from services.licenses.settings import Settings
from shared.database.session import Database
from shared.domain import masking
from shared.errors import ForbiddenError, NotFoundError
from shared.http.etags import etag
from shared.security.auth import CurrentCaller, with_role, with_scope
from shared.security.tokens import Caller

STAFF = ("window_clerk", "approver", "leader", "delivery", "department_head")
ACTING = ("approver", "leader")
Officer = Annotated[Caller, Depends(with_role(*ACTING))]
"""Acts on licences of the own department."""
Reader = Annotated[Caller, Depends(with_role(*STAFF))]
Overseer = Annotated[Caller, Depends(with_role(*STAFF, "supervisor", "administrator"))]
System = Annotated[Caller, Depends(with_scope("licenses:read"))]


async def _issuer(caller: CurrentCaller) -> Caller:
    is_officer = caller.kind == "staff" and bool(set(ACTING) & caller.roles)
    is_system = caller.kind == "system" and "licenses:issue" in caller.scopes
    if not is_officer and not is_system:
        raise ForbiddenError(
            "this needs an approver or leader, or a system with the scope licenses:issue"
        )
    return caller


Issuer = Annotated[Caller, Depends(_issuer)]
"""A department's officer, or a bureau's system with `licenses:issue`."""


# These wait for nothing and are async all the same: FastAPI hands a plain function to a thread.
async def _settings(request: Request) -> Settings:
    return request.app.state.settings


Config = Annotated[Settings, Depends(_settings)]


async def _database(request: Request) -> Database:
    return request.app.state.database


Db = Annotated[Database, Depends(_database)]
"""For endpoints whose work is more than one transaction."""


def is_holder(license: Any, caller: Caller) -> bool:
    """The holder herself, or whoever acts for an organisation; a mandate to apply in matters gives nobody her licences."""
    represents = caller.kind == "organisation" and caller.mandate is None
    herself = caller.kind == "person" and caller.act is None
    return (
        (herself or represents)
        and license.account_id is not None
        and str(license.account_id) == caller.subject
    )


def check_holder(license: Any, caller: Caller) -> None:
    """For everyone else it is not there."""
    if not is_holder(license, caller):
        raise NotFoundError(licenses.NOT_YOURS)


def check_reader(license: Any, caller: Caller) -> None:
    """The holder, or staff of the licence's own area and department; for everyone else it is not there."""
    staff = caller.kind == "staff" and bool(set(STAFF) & caller.roles)
    if not is_holder(license, caller) and not (
        staff and (caller.area, caller.department) == (license.area_code, license.department_code)
    ):
        raise NotFoundError(licenses.NOT_YOURS)


def show(row: Any, caller: Caller, response: Response) -> dict[str, Any]:
    """The answer, masked unless the reader is the holder."""
    response.headers["etag"] = etag(row.revision)
    record: dict[str, Any] = orjson.loads(row.record)
    plain, holder = is_holder(row, caller), record["holder"]
    made = {"issuer_name", "holder_name", "holder_id_number", "fields", "check_code", "allowed"}
    values = {name: getattr(row, name) for name in LicenseRead.model_fields.keys() - made}
    values |= {"issuer_name": record["issuer"]["name"], "allowed": allowed(Status(row.status))}
    values |= {
        "holder_name": holder["name"],
        "holder_id_number": holder["number"],
        "fields": record["fields"],
    }
    values["check_code"] = check_code(row.id) if plain else None
    if not plain:
        values["number"] = shown_number(row)
        sensitive = {
            f.name
            for f in TypeDocument.model_validate(row.definition).fields
            if f.sensitivity == "sensitive"
        }
        values["fields"] = {
            name: value for name, value in record["fields"].items() if name not in sensitive
        }
    if not plain and row.holder_kind == "person":
        values["holder_name"] = masking.mask_name(holder["name"])
        values["holder_id_number"] = masking.mask_id_number(holder["number"])
    return values
