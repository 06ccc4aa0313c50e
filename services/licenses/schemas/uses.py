"""Uses (用证) and their authorisations."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from services.licenses.schemas.licenses import Strict
from shared.fields import CLEAN

Matter = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), CLEAN
]
UseReason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=2, max_length=200), CLEAN
]


class Authorise(Strict):
    """One use in this matter, within so many hours."""

    matter_code: Matter
    hours: int = Field(default=24, ge=1, le=24)


class AuthorisationRead(BaseModel):
    """An authorisation; `auth_code` (用证码) is shown once, when it is given."""

    id: UUID
    matter_code: str
    until: datetime
    used_at: datetime | None = None
    withdrawn_at: datetime | None = None
    auth_code: str | None = None


class UseLicense(Strict):
    """A use by a bureau's system, under the holder's authorisation."""

    auth_code: Annotated[str, Field(min_length=16, max_length=16, pattern=r"^[0-9A-Za-z]{16}$")]
    case_number: Matter
    matter_code: Matter
    reason: UseReason


class UseRead(BaseModel):
    """Who used a license, and for what."""

    id: UUID
    case_number: str
    matter_code: str | None
    matter_name: str | None
    material_code: str | None
    area_code: str
    department_code: str
    operator: str
    reason: str
    used_at: datetime


class UsedLicense(BaseModel):
    """The canonical record as text, and the signature over it."""

    use_id: UUID
    record: str
    digest: str
    signature: str | None
